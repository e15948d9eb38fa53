"""Drafts, by an assistant or looked up, change how fast tokens come and not which."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.small_models import both, prompt

NEW = 20
DRAFTS: dict[str, dict[str, Any]] = {
    "assistant": {"num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0},
    "unsure assistant": {"num_assistant_tokens": 6, "assistant_confidence_threshold": 0.3},
    "heuristic": {"num_assistant_tokens_schedule": "heuristic", "num_assistant_tokens": 2},
    "look-up": {"prompt_lookup_num_tokens": 3},
    "longer look-up": {"prompt_lookup_num_tokens": 8, "max_matching_ngram_size": 1},
}


@functools.cache
def models(kind: str) -> tuple[Any, Any, Any, Any]:
    """This library's model and assistant, and the reference's."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = both(kind, Path(folder, "model"))
        assistant, their_assistant = both(kind, Path(folder, "assistant"), noise=0.05)
    return ours, assistant, theirs, their_assistant


def written(kind: str, draft: str, **settings: Any) -> Any:
    model, assistant, *_ = models(kind)
    if "look-up" not in draft:
        settings["assistant_model"] = assistant
    return model.generate(prompt(), max_new_tokens=NEW, **DRAFTS[draft], **settings)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "t5"])
@pytest.mark.parametrize("draft", DRAFTS)
def test_greedy_search_with_drafts_gives_what_it_gives_without(kind, draft):
    plain = models(kind)[0].generate(prompt(), max_new_tokens=NEW)
    assert torch.equal(written(kind, draft), plain)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_an_assistant_gives_what_the_reference_gives(kind):
    _, _, theirs, their_assistant = models(kind)
    expected = theirs.generate(prompt(), max_new_tokens=NEW, assistant_model=their_assistant)
    assert torch.equal(written(kind, "assistant"), expected)


def test_sampling_with_an_assistant_draws_as_the_reference_does():
    model, assistant, theirs, their_assistant = models("llama")
    for one in (assistant, their_assistant):
        one.generation_config.assistant_confidence_threshold = 0.0
        one.generation_config.num_assistant_tokens = 4
    found = []
    for one, helper in ((model, assistant), (theirs, their_assistant)):
        torch.manual_seed(3)
        found.append(
            one.generate(prompt(), max_new_tokens=NEW, assistant_model=helper, do_sample=True, top_k=0)
        )
    assert torch.equal(*found)


def test_what_is_sampled_with_an_assistant_has_the_models_distribution():
    model, assistant, *_ = models("llama")
    torch.manual_seed(0)
    draws = 150
    settings = {"do_sample": True, "top_k": 3, "max_new_tokens": 2, "eos_token_id": None, "temperature": 2.0}
    drafted = [
        tuple(
            model.generate(prompt(), assistant_model=assistant, num_assistant_tokens=1, **settings)[
                0, -2:
            ].tolist()
        )
        for _ in range(draws)
    ]
    plain = model.generate(prompt().repeat(4000, 1), **settings)[:, -2:].tolist()
    for pair in {tuple(pair) for pair in plain}:
        share = sum(tuple(p) == pair for p in plain) / len(plain)
        sigma = (share * (1 - share) / draws) ** 0.5
        assert abs(drafted.count(pair) / draws - share) < 4 * sigma + 0.01


def test_a_look_up_draws_what_sampling_draws():
    torch.manual_seed(5)
    plain = models("llama")[0].generate(prompt(), max_new_tokens=NEW, do_sample=True)
    torch.manual_seed(5)
    assert torch.equal(written("llama", "look-up", do_sample=True), plain)


def test_a_seed_says_what_is_drawn_with_an_assistant():
    first = written("llama", "assistant", do_sample=True, seed=11)
    torch.manual_seed(99)
    assert torch.equal(written("llama", "assistant", do_sample=True, seed=11), first)


def test_fewer_calls_of_the_model_are_needed():
    model, calls = models("llama")[0], []
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    try:
        new = (
            model.generate(prompt(), max_new_tokens=NEW, assistant_model=model, num_assistant_tokens=4).shape[
                1
            ]
            - 9
        )
        with_own_copy = len(calls)
    finally:
        hook.remove()
    drafted = with_own_copy - -(-new // 5)  # it is its own assistant: all but every fifth token is a draft's
    assert drafted <= new
    assert with_own_copy < 2 * new


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_record_has_one_entry_for_every_token(kind):
    wanted = {f"output_{name}": True for name in ("scores", "logits", "hidden_states", "attentions")}
    found = written(kind, "assistant", return_dict_in_generate=True, **wanted)
    plain = models(kind)[0].generate(prompt(), max_new_tokens=NEW, return_dict_in_generate=True, **wanted)
    assert list(found.keys()) == list(plain.keys())
    for name in set(plain.keys()) - {"sequences", "past_key_values"}:
        a, b = (torch.utils._pytree.tree_leaves(record[name]) for record in (found, plain))
        assert [t.shape for t in a] == [t.shape for t in b], name
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-3)
    assert found.past_key_values.get_seq_length() == plain.past_key_values.get_seq_length()


def test_processors_and_criteria_see_every_token_once():
    lengths: dict[str, list[int]] = {"processor": [], "criterion": []}

    def processor(ids, scores):
        lengths["processor"].append(ids.shape[1])
        return scores

    def criterion(ids, scores, **_):
        lengths["criterion"].append(ids.shape[1])
        return torch.tensor([ids.shape[1] >= 17])

    found = written("llama", "assistant", logits_processor=[processor], stopping_criteria=[criterion])
    assert found.shape[1] == 17
    assert lengths == {"processor": list(range(9, 17)), "criterion": list(range(10, 18))}


def test_a_streamer_gets_token_after_token():
    class Streamer:
        def __init__(self) -> None:
            self.seen: list[torch.Tensor] = []

        def put(self, value):
            self.seen.append(value)

        def end(self):
            self.seen.append(torch.tensor([-1]))

    streamer = Streamer()
    found = written("llama", "assistant", streamer=streamer)
    assert [tuple(t.shape) for t in streamer.seen[:2]] == [(1, 9), (1,)]
    assert torch.cat([t.flatten() for t in streamer.seen]).tolist() == [*found[0].tolist(), -1]


def test_a_heuristic_is_kept_for_the_next_call_where_the_schedule_says_so():
    model, assistant, *_ = models("t5")
    assistant.generation_config.num_assistant_tokens = 3
    for schedule, kept in (("constant", True), ("heuristic_transient", True), ("heuristic", False)):
        model.generate(
            prompt(), max_new_tokens=NEW, assistant_model=assistant, num_assistant_tokens_schedule=schedule
        )
        assert (assistant.generation_config.num_assistant_tokens == 3) is kept


def test_a_padded_prompt_gives_what_it_gives_without_padding():
    model, assistant, *_ = models("llama")
    ids = torch.cat((torch.zeros(1, 3, dtype=torch.int64), prompt()), dim=1)
    found = model.generate(
        ids, attention_mask=(ids != 0).long(), assistant_model=assistant, max_new_tokens=NEW
    )
    assert torch.equal(found[:, 3:], model.generate(prompt(), max_new_tokens=NEW))


def test_a_prompt_of_vectors_can_be_looked_up_behind():
    model = models("llama")[0]
    vectors = model.get_input_embeddings()(prompt())
    plain = model.generate(inputs_embeds=vectors, max_new_tokens=NEW)
    assert torch.equal(
        model.generate(inputs_embeds=vectors, max_new_tokens=NEW, prompt_lookup_num_tokens=3), plain
    )


def test_the_weighted_mean_with_a_perfect_assistant_is_the_model():
    model = models("llama")[0]
    found = model.generate(prompt(), max_new_tokens=NEW, assistant_model=model, assistant_ensemble_weight=0.5)
    assert torch.equal(found, model.generate(prompt(), max_new_tokens=NEW))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"input_ids": prompt(2)}, "one row alone"),
        ({"num_return_sequences": 2, "do_sample": True}, "num_return_sequences=1"),
        ({"num_assistant_tokens": 0}, "num_assistant_tokens"),
        ({"num_assistant_tokens_schedule": "often"}, "heuristic_transient"),
        ({"assistant_ensemble_weight": 1.5}, "between 0 and 1"),
        ({"prompt_lookup_num_tokens": 3}, "give one of"),
        ({"prompt_lookup_num_tokens": 0, "assistant_model": None}, "prompt_lookup_num_tokens"),
        (
            {"prompt_lookup_num_tokens": 2, "assistant_model": None, "max_matching_ngram_size": 0},
            "ngram_size",
        ),
        ({"num_beams": 2}, "leave one out"),
        ({"use_mtp": True}, "not offered"),
        ({"input_ids": None, "inputs_embeds": torch.zeros(1, 4, 24)}, "not vectors"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, said):
    model, assistant, *_ = models("llama")
    with pytest.raises(ValueError, match=said):
        model.generate(
            **{"input_ids": prompt(), "max_new_tokens": 4, "assistant_model": assistant, **settings}
        )


def test_a_model_that_cannot_take_back_is_refused():
    model = models("mamba")[0]
    with pytest.raises(ValueError, match="cannot take back"):
        model.generate(prompt(), max_new_tokens=4, prompt_lookup_num_tokens=3)


def test_an_assistant_with_another_vocabulary_needs_tokenizers(tmp_path):
    model, _ = models("llama")[:2]
    other = type(model)(type(model.config)(**{**model.config.to_dict(), "vocab_size": 50}))
    with pytest.raises(ValueError, match="assistant_tokenizer"):
        model.generate(prompt(), max_new_tokens=4, assistant_model=other)
