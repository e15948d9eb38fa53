"""DoLa takes from the last layer what an earlier one says, as its definition says it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.small_models import both, prompt

NEW = 10


@functools.cache
def model_of(kind: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return both(kind, Path(folder))[0]


@torch.no_grad()
def defined(model: Any, ids: torch.Tensor, layers: list[int]) -> torch.Tensor:
    """Greedy DoLa of one prompt, all read anew for every token, in float64."""
    for _ in range(NEW):
        out = model(ids, output_hidden_states=True, use_cache=False)
        last = out.logits[0, -1].double().softmax(-1)
        early = [model.lm_head(out.hidden_states[i][0, -1]).double().softmax(-1) for i in layers]

        def gap(p: torch.Tensor, q: torch.Tensor = last) -> float:
            m = (p + q) / 2
            return float((m * (m / p).log()).sum() + (m * (m / q).log()).sum())

        chosen = max(early, key=gap)
        scores = torch.where(last >= 0.1 * last.max(), (last / chosen).log(), -torch.inf)
        ids = torch.cat((ids, scores.argmax()[None, None]), dim=1)
        if int(ids[0, -1]) == 5:
            break
    return ids


@pytest.mark.parametrize(
    ("kind", "wanted", "layers"),
    [
        ("llama", "low", [0]),
        ("llama", "high", [1]),
        ("llama", [0, 1, 2], [0, 1, 2]),
        ("gemma2", "low", [1]),  # the embeddings are the head too: they say what was read
    ],
)
def test_tokens_are_those_of_the_definition(kind, wanted, layers):
    model = model_of(kind)
    found = model.generate(prompt(), max_new_tokens=NEW, dola_layers=wanted)
    assert torch.equal(found, defined(model, prompt(), layers))


def test_a_batch_gives_what_each_prompt_gives_alone():
    model, settings = model_of("llama"), {"max_new_tokens": NEW, "dola_layers": [0, 1, 2]}
    ids = prompt(2)
    ids[0, :3] = 0
    found = model.generate(ids, attention_mask=(ids != 0).long(), **settings)
    for row, alone in zip(found, (ids[:1, 3:], ids[1:]), strict=True):
        expected = model.generate(alone, **settings)[0, alone.shape[1] :]
        assert row[9 : 9 + len(expected)].tolist() == expected.tolist()


def test_several_answers_are_drawn_from_what_is_left():
    model = model_of("llama")
    settings = {"max_new_tokens": NEW, "dola_layers": "low", "do_sample": True, "seed": 3}
    found = model.generate(prompt(), num_return_sequences=3, **settings)
    assert len({tuple(row.tolist()) for row in found}) == 3
    assert found[:1, : model.generate(prompt(), **settings).shape[1]].equal(
        model.generate(prompt(), **settings)
    )


@pytest.mark.parametrize("wanted", ["middle", [3], [], [0.5]])
def test_layers_that_are_not_there_are_refused(wanted):
    with pytest.raises(ValueError, match="from 0 to 2"):
        model_of("llama").generate(prompt(), max_new_tokens=NEW, dola_layers=wanted)


def test_an_encoder_decoder_is_refused():
    with pytest.raises(ValueError, match="decoder with a head"):
        model_of("t5").generate(prompt(), max_new_tokens=NEW, dola_layers="low")
