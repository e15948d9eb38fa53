"""Requests over models whose layers keep different things: each gets what it gets alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

import formers
from formers.generation.engine import Engine, Request
from tests.parity import decoder_shapes, expert_shapes, recurrent_shapes
from tests.parity.plain_shapes import DECODER

_SHAPES = {**decoder_shapes.SHAPES, **expert_shapes.SHAPES, **recurrent_shapes.SHAPES}
_WINDOW = {**DECODER, "sliding_window": 4}
_SHAPES |= {"mistral": {"": _WINDOW}, "phi3": {"": _WINDOW}, "gemma3_text": {"": {**_WINDOW, "head_dim": 12}}}
# model type -> layers, in order of what they keep
KINDS = {
    "jamba": "states and keys by turns",
    "bamba": "states of heads and keys by turns",
    "falcon_h1": "states and keys in every layer",
    "qwen3_next": "delta rules and keys by turns",
    "lfm2": "the last tokens, and keys by turns",
    "recurrent_gemma": "states, and keys of a window",
    "mistral": "keys of a window",
    "phi3": "keys of a window, projected together",
    "gemma3_text": "keys of windows and of all by turns",
    "gpt_oss": "keys of windows and of all by turns, with sinks",
    "opt": "keys, with positions that begin behind two others",
}


def model_of(model_type: str) -> Any:
    """A tiny random model whose logits lie far apart."""
    torch.manual_seed(0)
    config = formers.AutoConfig.for_model(model_type, **next(iter(_SHAPES[model_type].values())))
    model = formers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() > 1:
                value.mul_(3)
    return model


@pytest.mark.parametrize("model_type", KINDS)
def test_rows_of_every_kind_of_layers_come_and_go(model_type: str) -> None:
    model, drawn, requests = model_of(model_type), random.Random(0), []
    for _ in range(5):
        prompt = [drawn.randrange(6, 30) for _ in range(drawn.randrange(1, 12))]
        settings = formers.GenerationConfig(max_new_tokens=drawn.randrange(2, 9), eos_token_id=5)
        requests.append(Request(prompt, settings))
    engine = Engine(model, rows=3, chunk=7)
    for request in requests[:3]:
        engine.submit(request)
    for _ in range(4):
        engine.step()
    requests[1].cancel()
    for request in requests[3:]:
        engine.submit(request)
    engine.run()
    for request in (one for one in requests if not one.cancelled):
        ids = torch.tensor([request.prompt])
        alone = model.generate(ids, generation_config=request.config, pad_token_id=0)
        assert request.tokens == alone[0, len(request.prompt) :].tolist()


def test_a_model_without_a_cache_of_its_tokens_is_sent_to_generate() -> None:
    sizes = {"vocab_size": 30, "emb_dim": 16, "n_layers": 1, "n_heads": 2}
    with pytest.raises(ValueError, match=r"XLMWithLMHeadModel cannot join and leave.*generate\(\)"):
        Engine(formers.XLMWithLMHeadModel(formers.XLMConfig(**sizes)))
