"""The short convolution between two gates against its definition written out in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers
from tests.blocks.recurrences import hold_to_padding_and_cache, seen_inside, stirred

SMALL = {
    "vocab_size": 40,
    "hidden_size": 12,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "full_attn_idxs": [],
    "block_auto_adjust_ff_dim": False,
}


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(formers.Lfm2Model(formers.Lfm2Config(**{**SMALL, **values})))


def slowly(mixer: Any, x: Tensor) -> Tensor:
    """One token and one feature at a time, [t, E] -> [t, E]."""
    wide = {name: value.detach().double() for name, value in mixer.state_dict().items()}
    bias = {name: wide.get(f"{name}.bias", 0.0) for name in ("in_proj", "conv", "out_proj")}
    opened, closed, read = (x.double() @ wide["in_proj.weight"].T + bias["in_proj"]).chunk(3, dim=-1)
    weight, mixed = wide["conv.weight"][:, 0], torch.zeros(x.shape, dtype=torch.float64)
    for t in range(x.shape[0]):
        for back in range(min(weight.shape[1], t + 1)):
            mixed[t] += weight[:, -1 - back] * opened[t - back] * read[t - back]
    return (closed * (mixed + bias["conv"])) @ wide["out_proj.weight"].T + bias["out_proj"]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_it_is_its_definition(length: int, reach: int, bias: bool) -> None:
    mixer = small(conv_L_cache=reach, conv_bias=bias).layers[0].conv
    x = torch.randn(length, 12)
    with torch.no_grad():
        found = mixer(x[None])[0]
    torch.testing.assert_close(found.double(), slowly(mixer, x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_enters_nothing_and_a_cache_changes_nothing(sided: str, bias: bool) -> None:
    model = small(num_hidden_layers=3, full_attn_idxs=[1], conv_bias=bias)
    hold_to_padding_and_cache(model, sided, 9, 4, (2, 4, 3))


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small()
    assert seen_inside(model, model.layers[0].conv) == {"", "in_proj", "conv", "out_proj"}
