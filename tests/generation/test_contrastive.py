"""Contrastive search chooses as its definition says, and a batch gives what each prompt gives alone."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.small_models import both, prompt

NEW = 12
SEARCH = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": NEW}


@functools.cache
def model_of(kind: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return both(kind, Path(folder))[0]


@torch.no_grad()
def defined(model: Any, ids: torch.Tensor, alpha: float = 0.6, k: int = 4) -> torch.Tensor:
    """The search of one prompt, all read anew for every candidate, in float64."""
    encodes = model.config.is_encoder_decoder
    text = torch.tensor([[0]]) if encodes else ids

    def read(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        given = {"input_ids": ids, "decoder_input_ids": tokens} if encodes else {"input_ids": tokens}
        out = model(**given, output_hidden_states=True, use_cache=False)
        states = out.decoder_hidden_states if encodes else out.hidden_states
        return out.logits[0, -1].double().softmax(-1), states[-1][0].double()

    for _ in range(NEW):
        chances, _ = read(text)
        best = []
        for token in chances.topk(k)[1]:
            _, states = read(torch.cat((text, token[None, None]), dim=1))
            like = torch.nn.functional.cosine_similarity(states[:-1], states[-1:], dim=-1)
            best.append(((1 - alpha) * chances[token] - alpha * like.max(), token))
        text = torch.cat((text, max(best, key=lambda pair: float(pair[0]))[1][None, None]), dim=1)
        if int(text[0, -1]) == 5:
            break
    return text


@pytest.mark.parametrize("kind", ["llama", "gemma2", "t5"])
def test_tokens_are_those_of_the_definition(kind):
    model = model_of(kind)
    assert torch.equal(model.generate(prompt(), **SEARCH), defined(model, prompt()))


@pytest.mark.parametrize("settings", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_the_cache_changes_nothing(settings):
    model = model_of("llama")
    assert torch.equal(model.generate(prompt(), **SEARCH, **settings), model.generate(prompt(), **SEARCH))


def test_a_batch_gives_what_each_prompt_gives_alone():
    model = model_of("llama")
    ids = prompt(2)
    ids[0, :3] = 0
    found = model.generate(ids, attention_mask=(ids != 0).long(), **SEARCH)
    for row, alone in zip(found, (ids[:1, 3:], ids[1:]), strict=True):
        expected = model.generate(alone, **SEARCH)[0, alone.shape[1] :]
        assert row[9 : 9 + len(expected)].tolist() == expected.tolist()


def test_a_record_shows_what_each_token_was_chosen_from():
    model = model_of("llama")
    wanted = {f"output_{name}": True for name in ("scores", "logits", "hidden_states", "attentions")}
    found = model.generate(prompt(), **SEARCH, return_dict_in_generate=True, **wanted)
    new = found.sequences.shape[1] - 9
    out = model(found.sequences[:, :-1], output_hidden_states=True)
    torch.testing.assert_close(torch.stack(found.logits, 1), out.logits[:, 8:], atol=1e-4, rtol=1e-4)
    last = torch.cat([step[-1] for step in found.hidden_states], dim=1)
    torch.testing.assert_close(last, out.hidden_states[-1], atol=1e-4, rtol=1e-4)
    assert [len(x) for x in (found.scores, found.hidden_states, found.attentions)] == [new] * 3


def test_a_streamer_gets_token_after_token():
    seen: list[int] = []

    class Streamer:
        def put(self, value):
            seen.extend(value.flatten().tolist())

        def end(self):
            seen.append(-1)

    found = model_of("llama").generate(prompt(), streamer=Streamer(), **SEARCH)
    assert seen == [*found[0].tolist(), -1]


def test_a_share_above_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        model_of("llama").generate(prompt(), **{**SEARCH, "penalty_alpha": 2.0})
