"""`generate` as its users call it: what is read, what is said, what is refused, what comes back."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import transformers

import formers
from formers.core.notices import Notice, forget_notices
from formers.core.outputs import BaseModelOutput
from formers.generation.resolve import brought

SIZES = {"vocab_size": 99, "n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 40, "bos_token_id": 1}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference's GPT-2 and ours, from one folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("gpt2")
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, eos_token_id=5)).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.mul_(3)
    theirs.save_pretrained(folder)
    theirs.set_attn_implementation("eager")  # so that weights can be returned
    return theirs, formers.GPT2LMHeadModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """T5 likewise."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("t5")
    sizes = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4, "vocab_size": 99}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0, eos_token_id=5)
    theirs = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for value in theirs.parameters():
            value.mul_(3)
    theirs.save_pretrained(folder)
    theirs.set_attn_implementation("eager")
    return theirs, formers.T5ForConditionalGeneration.from_pretrained(folder)


def prompts(sided: str = "left") -> dict[str, torch.Tensor]:
    """Three prompts of different lengths."""
    ids = torch.randint(6, 99, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :4], mask[1, :2] = 0, 0
    ids = ids.masked_fill(mask == 0, 0)
    if sided == "right":
        ids = torch.stack(
            [torch.cat((row[m.bool()], row[~m.bool()])) for row, m in zip(ids, mask, strict=True)]
        )
        mask = mask.flip(1)
    return {"input_ids": ids, "attention_mask": mask}


SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "repetition": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "minimum": {"min_new_tokens": 8, "suppress_tokens": [7, 8], "forced_eos_token_id": 5},
    "sampling": {"do_sample": True, "top_k": 7, "top_p": 0.8, "temperature": 1.4},
    "copies": {"do_sample": True, "num_return_sequences": 3, "top_k": 0, "typical_p": 0.9},
    "beams": {"num_beams": 3},
    "early": {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True, "length_penalty": 0.5},
    "never": {"num_beams": 3, "early_stopping": "never", "length_penalty": 2.0, "repetition_penalty": 1.3},
    "drawn beams": {"num_beams": 3, "do_sample": True, "top_k": 0},
    "no cache": {"use_cache": False, "num_beams": 2},
}


def _quiet(model: Any, **given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        return model.generate(**{"max_new_tokens": 14, "pad_token_id": 0, **given})


def _ended(rows: torch.Tensor, start: int) -> list[list[int]]:
    """Rows up to the token that ends them: where the padding is token 0, the reference pads with that one."""
    found = []
    for row in rows[:, start:].tolist():
        found.append(row[: row.index(5) + 1] if 5 in row else row)
    return found


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kind", ["both", "pair"])
def test_every_way_of_choosing_writes_what_the_reference_writes(
    kind: str, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    theirs, ours = request.getfixturevalue(kind)
    given = {**prompts("right" if kind == "pair" else "left"), **settings}
    start = 0 if kind == "pair" else 9
    assert _ended(_quiet(theirs, **given), start) == _ended(_quiet(ours, **given), start)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", ["both", "pair"])
def test_a_record_holds_what_the_references_holds(
    kind: str, beams: int, request: pytest.FixtureRequest
) -> None:
    theirs, ours = request.getfixturevalue(kind)
    shown = ("scores", "logits", "hidden_states", "attentions")
    given = {
        "input_ids": prompts()["input_ids"].clamp(
            min=6
        ),  # no padding: its weights are zeros here, and not there
        **{f"output_{name}": True for name in shown},
        "return_dict_in_generate": True,
        "num_beams": beams,
        "max_new_tokens": 5,
        "eos_token_id": 98,
    }
    expected, found = _quiet(theirs, **given), _quiet(ours, **given)
    assert type(found).__name__ == type(expected).__name__
    assert list(found.keys()) == list(expected.keys())
    for name in list(expected.keys()):
        if name != "past_key_values":
            _close(expected[name], found[name], name)
    told = {} if beams == 1 else {"beam_indices": expected.beam_indices}
    a, b = (
        one.compute_transition_scores(expected.sequences, expected.scores, normalize_logits=True, **told)
        for one in (theirs, ours)
    )
    assert torch.allclose(a, b, atol=1e-5)


def _close(expected: Any, found: Any, name: str) -> None:
    if isinstance(expected, torch.Tensor):
        assert found.shape == expected.shape, name
        if not expected.is_floating_point():
            assert found.tolist() == expected.tolist(), name
            return
        size = expected.abs().clamp(max=1e4).max()
        unlike = (found - expected).abs() > 1e-4 * size
        assert not unlike.any(), (name, (found - expected).abs().max())
        return
    assert len(found) == len(expected), name
    for a, b in zip(expected, found, strict=True):
        _close(a, b, name)


def test_a_whole_encoding_may_be_the_first_argument(both: tuple[Any, Any]) -> None:
    ours = both[1]
    assert _quiet(ours, inputs=prompts()).tolist() == _quiet(ours, **prompts()).tolist()


def test_padding_on_the_right_is_moved_to_the_left_and_said(both: tuple[Any, Any]) -> None:
    ours = both[1]
    forget_notices()
    with pytest.warns(Notice, match="padding_side='left'"):
        found = ours.generate(**prompts("right"), max_new_tokens=6, pad_token_id=0)
    assert found.tolist() == _quiet(ours, **prompts(), max_new_tokens=6).tolist()


def test_a_missing_mask_is_read_off_the_padding_token(both: tuple[Any, Any]) -> None:
    ours = both[1]
    alone = {"input_ids": prompts()["input_ids"]}
    assert _quiet(ours, **alone).tolist() == _quiet(ours, **prompts()).tolist()


def test_padding_that_also_ends_texts_is_not_guessed_but_said(both: tuple[Any, Any]) -> None:
    forget_notices()
    ids = prompts()["input_ids"].masked_fill(prompts()["attention_mask"] == 0, 5)
    with pytest.warns(Notice, match="no attention_mask"):
        both[1].generate(ids, max_new_tokens=2)


def test_without_a_length_twenty_tokens_come_and_that_is_said(both: tuple[Any, Any]) -> None:
    forget_notices()
    with pytest.warns(Notice, match="max_new_tokens"):
        found = both[1].generate(prompts()["input_ids"][2:], eos_token_id=-1, pad_token_id=0)
    assert found.shape == (1, 29)


def test_texts_end_where_the_positions_end(both: tuple[Any, Any]) -> None:
    forget_notices()
    with pytest.warns(Notice, match="40 tokens at most"):
        found = both[1].generate(
            prompts()["input_ids"][2:], max_new_tokens=500, eos_token_id=-1, pad_token_id=0
        )
    assert found.shape == (1, 40)


def test_a_seed_gives_the_same_text_alone_and_in_company(both: tuple[Any, Any]) -> None:
    ours = both[1]
    settings = {"do_sample": True, "seed": 11, "top_k": 0, "eos_token_id": -1}
    whole = _quiet(ours, **prompts(), **settings)
    torch.manual_seed(99)
    alone = ours.generate(prompts()["input_ids"][2:], max_new_tokens=14, pad_token_id=0, **settings)
    assert whole[2].tolist() == alone[0].tolist()
    assert _quiet(ours, **prompts(), **{**settings, "seed": 12}).tolist() != whole.tolist()


def test_samples_follow_the_distribution(both: tuple[Any, Any]) -> None:
    ours = both[1]
    one = prompts()["input_ids"][2:]
    with torch.no_grad():
        chances = (ours(one).logits[0, -1] / 2.0).softmax(-1)
    torch.manual_seed(5)
    count = 4000
    drawn = ours.generate(
        one,
        max_new_tokens=1,
        do_sample=True,
        temperature=2.0,
        top_k=0,
        num_return_sequences=count,
        pad_token_id=0,
    )[:, -1]
    often = torch.bincount(drawn, minlength=99).float() / count
    deviation = (chances * (1 - chances) / count).sqrt()
    assert ((often - chances).abs() < 5 * deviation + 1e-3).all()


def test_vectors_may_stand_for_the_prompt(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    ids = prompts()["input_ids"][2:]
    found = [
        _quiet(model, inputs_embeds=model.get_input_embeddings()(ids).detach()).tolist() for model in both
    ]
    assert found[0] == found[1] == _quiet(ours, input_ids=ids)[:, 9:].tolist()


def test_a_cache_that_was_filled_before_is_gone_on_with(both: tuple[Any, Any]) -> None:
    ours, ids = both[1], prompts()["input_ids"][2:]
    cache = formers.DynamicCache()
    with torch.no_grad():
        ours(ids[:, :6], past_key_values=cache, use_cache=True)
    assert _quiet(ours, input_ids=ids, past_key_values=cache).tolist() == _quiet(ours, input_ids=ids).tolist()


@pytest.mark.parametrize("settings", [{"cache_implementation": "static"}, {"prefill_chunk_size": 2}])
def test_how_the_cache_is_kept_and_filled_changes_nothing(
    both: tuple[Any, Any], settings: dict[str, Any]
) -> None:
    ours = both[1]
    assert _quiet(ours, **prompts(), **settings).tolist() == _quiet(ours, **prompts()).tolist()


def test_processors_and_criteria_of_ones_own_are_called(both: tuple[Any, Any]) -> None:
    ours, seen = both[1], []

    class Only(formers.LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(input_ids.shape))
            return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([42]), 0.0)

    class Three(formers.StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            return torch.full((len(input_ids),), input_ids.shape[1] >= 12)

    found = _quiet(ours, **prompts(), logits_processor=[Only()], stopping_criteria=[Three()])
    assert found[:, 9:].tolist() == [[42] * 3] * 3
    assert seen == [(3, 9), (3, 10), (3, 11)]


def test_what_a_subclass_prepares_is_what_the_model_reads(both: tuple[Any, Any], tmp_path: Any) -> None:
    both[1].save_pretrained(tmp_path)

    class Own(formers.GPT2LMHeadModel):  # as scripts of version 4 write it
        calls = 0

        def prepare_inputs_for_generation(
            self, input_ids: Any, past_key_values: Any = None, **kwargs: Any
        ) -> Any:
            Own.calls += 1
            held = past_key_values.get_seq_length() if past_key_values is not None else 0
            kept = {k: v for k, v in kwargs.items() if k in ("attention_mask", "use_cache")}
            return {"input_ids": input_ids[:, held:], "past_key_values": past_key_values, **kept}

    own, ids = Own.from_pretrained(tmp_path), prompts()["input_ids"][2:]
    assert _quiet(own, input_ids=ids).tolist() == _quiet(both[1], input_ids=ids).tolist()
    assert Own.calls > 1


def test_keys_that_a_wrapper_puts_into_the_cache_are_no_text(
    both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, ids = both[1], prompts()["input_ids"][2:]
    prefix, own = torch.tensor([[11, 23, 37]]), ours.prepare_inputs_for_generation
    whole = _quiet(ours, input_ids=torch.cat((prefix, ids), dim=1))

    def prefixed(*args: Any, **kwargs: Any) -> dict[str, Any]:  # as PEFT's prefix tuning does
        given: dict[str, Any] = own(*args, **kwargs)
        if kwargs["is_first_iteration"]:
            ours(input_ids=prefix, past_key_values=given["past_key_values"])
        return given

    monkeypatch.setattr(ours, "prepare_inputs_for_generation", prefixed)
    assert _quiet(ours, input_ids=ids).tolist() == whole[:, 3:].tolist()


def test_a_forward_that_hands_everything_on_changes_nothing(both: tuple[Any, Any], tmp_path: Any) -> None:
    both[1].save_pretrained(tmp_path)

    class Own(formers.GPT2LMHeadModel):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    own = Own.from_pretrained(tmp_path)
    assert _quiet(own, **prompts()).tolist() == _quiet(both[1], **prompts()).tolist()
    with pytest.raises(TypeError, match="max_new_tokens"):
        own.generate(**prompts(), max_new_token=3)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"inputs": "a text"}, TypeError, "tokenizer"),
        ({"inputs": [[1, 2]]}, TypeError, "return_tensors='pt'"),
        ({"inputs": torch.tensor([1, 2])}, ValueError, r"\[B, T\]"),
        ({"inputs": torch.rand(1, 3)}, TypeError, "integers"),
        ({"max_new_token": 3}, TypeError, "max_new_tokens"),
        ({"max_new_tokens": 0}, ValueError, "at least 1"),
        ({"max_length": 5, "max_new_tokens": None}, ValueError, "max_new_tokens"),
        ({"num_return_sequences": 2}, ValueError, "do_sample"),
        ({"num_beams": 3, "num_beam_groups": 2}, ValueError, "groups"),
        ({"attention_mask": torch.ones(3, 4)}, ValueError, "attention_mask"),
        ({"generation_config": {"num_beams": 2}}, TypeError, "GenerationConfig"),
        ({"cache_implementation": "paged"}, ValueError, "cache_implementation"),
        ({"temperature": 0.0, "do_sample": True}, ValueError, "temperature"),
        ({"seed": 1, "generator": torch.Generator(), "do_sample": True}, ValueError, "seed and generator"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else None,
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    both: tuple[Any, Any], given: dict[str, Any], error: type[Exception], said: str
) -> None:
    base = {} if "inputs" in given else prompts()
    with pytest.raises(error, match=said):
        _quiet(both[1], **{**base, **given})


def test_a_model_without_a_head_for_the_next_token_says_so() -> None:
    assert not formers.GPT2Model.can_generate()
    assert not hasattr(formers.GPT2Model, "generate")


def test_a_streamer_gets_every_token_and_an_error_reaches_it(both: tuple[Any, Any]) -> None:
    class Listener(formers.TextStreamer):
        def __init__(self) -> None:
            self.got: list[list[int]] = []
            self.ended, self.error = 0, None

        def put(self, value: torch.Tensor) -> None:
            self.got.append(value.flatten().tolist())

        def end(self) -> None:
            self.ended += 1

        def fail(self, error: BaseException) -> None:
            self.error = error

    one, listener = prompts()["input_ids"][2:], Listener()
    found = _quiet(both[1], input_ids=one, streamer=listener)
    assert [token for part in listener.got for token in part] == found[0].tolist()
    assert (listener.ended, listener.error) == (1, None)
    with pytest.raises(ValueError, match="beams"):
        _quiet(both[1], input_ids=one, streamer=(broken := Listener()), num_beams=2)
    assert isinstance(broken.error, ValueError)


def test_groups_of_beams_differ_by_their_penalty(both: tuple[Any, Any]) -> None:
    ours = both[1]
    settings = {"num_beams": 4, "num_return_sequences": 4, "eos_token_id": -1, "max_new_tokens": 6}
    alike = _quiet(ours, **prompts(), **settings)
    apart = _quiet(ours, **prompts(), **settings, num_beam_groups=4, diversity_penalty=50.0)
    firsts = apart[:, 9].view(3, 4)
    assert all(len(set(row.tolist())) == 4 for row in firsts)  # no group begins as another does
    assert alike.shape == apart.shape


def test_rows_that_ended_are_left_out_of_the_computing(both: tuple[Any, Any]) -> None:
    ours, sizes = both[1], []
    free = _quiet(ours, **prompts(), eos_token_id=-1)[:, 9:]
    end = int(free[0, 2])
    handle = ours.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        found = _quiet(ours, **prompts(), eos_token_id=end)[:, 9:]
    finally:
        handle.remove()
    assert min(sizes) < 3
    for row, whole in zip(found.tolist(), free.tolist(), strict=True):
        stop = whole.index(end) + 1 if end in whole else len(whole)
        assert row[:stop] == whole[:stop]
        assert set(row[stop:]) <= {0}


def test_inputs_are_brought_to_where_the_model_is_with_one_notice() -> None:
    # a device that every machine has beside that of the inputs
    model: Any = formers.GPT2LMHeadModel(formers.GPT2Config(**SIZES)).to("meta")
    given = {"attention_mask": torch.ones(1, 3), "encoder_outputs": BaseModelOutput(torch.ones(1, 3, 2))}
    forget_notices()
    with pytest.warns(Notice, match="inputs on cpu are copied to meta") as told:
        ids = brought(model, torch.ones(1, 3, dtype=torch.int64), given)
    assert len(told) == 1
    assert {ids.device, given["attention_mask"].device, given["encoder_outputs"][0].device} == {model.device}
