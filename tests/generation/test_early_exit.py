"""Drafts by a model's own first layers change how fast tokens come, and never which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import formers
from tests.generation.small_models import both, prompt


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_tokens_are_those_of_the_whole_model_and_of_the_reference(kind: str, tmp_path: Path) -> None:
    ours, theirs = both(kind, tmp_path)
    given: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}
    found = ours.generate(prompt(), **given, assistant_early_exit=1)
    assert found.tolist() == ours.generate(prompt(), **given).tolist()
    assert found.tolist() == theirs.generate(prompt(), **given).tolist()


def test_where_the_last_layers_add_nothing_all_drafts_are_taken() -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "n_layer": 3, "n_embd": 24, "n_head": 4, "n_positions": 64}
    model = formers.GPT2LMHeadModel(formers.GPT2Config(**sizes, eos_token_id=None)).eval()
    calls = []
    with torch.no_grad():
        for layer in model.transformer.h[1:]:
            for leaf in (layer.attn.c_proj, layer.mlp.c_proj):
                leaf.weight.zero_()
                leaf.bias.zero_()
    given: dict[str, Any] = {"max_new_tokens": 13, "pad_token_id": 0}
    drafts: dict[str, Any] = {"num_assistant_tokens": 5, "num_assistant_tokens_schedule": "constant"}
    drafts["assistant_confidence_threshold"] = 0.0
    with model.transformer.h[2].register_forward_hook(lambda *_: calls.append(1)):
        found = model.generate(prompt(), **given, **drafts, assistant_early_exit=1)
    assert len(calls) == 3  # 13 tokens, six at a time
    assert torch.equal(found, model.generate(prompt(), **given))
    assert sum(p.numel() for p in model.parameters()) == model.num_parameters()


def test_as_many_layers_as_there_are_and_encoders_are_refused(tmp_path: Path) -> None:
    decoder, pair = both("llama", tmp_path)[0], both("t5", tmp_path / "t5")[0]
    for model, given, said in (
        (decoder, {"assistant_early_exit": 3}, "below the 3 layers"),
        (decoder, {"assistant_early_exit": 1, "prompt_lookup_num_tokens": 2}, "give one of"),
        (pair, {"assistant_early_exit": 1}, "serves decoders"),
    ):
        with pytest.raises(ValueError, match=said):
            model.generate(prompt(), **given, max_new_tokens=3)
