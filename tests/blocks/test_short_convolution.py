"""The short convolution between two gates against its definition written out in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers

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
    model = formers.Lfm2Model(formers.Lfm2Config(**{**SMALL, **values})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


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
    ids, mask = torch.randint(3, 40, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    mask[0, slice(0, 4) if sided == "left" else slice(5, 9)] = 0
    real = mask[0].bool()
    with torch.no_grad():
        alone, company = model(ids[:1, real])[0][0], model(ids[1:])[0][0]
        for widths in ((9,), (1,) * 9, (2, 4, 3)):
            past, at, found = None, 0, []
            for width in widths:
                seen = mask[:, : at + width]
                step = model(
                    ids[:, at : at + width], attention_mask=seen, past_key_values=past, use_cache=True
                )
                past, at = step.past_key_values, at + width
                found.append(step.last_hidden_state)
            whole = torch.cat(found, dim=1)
            torch.testing.assert_close(whole[0, real], alone, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(whole[1], company, atol=1e-5, rtol=1e-5)


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model, seen = small(), []
    ids, mask = torch.randint(3, 40, (2, 6)), torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    with torch.no_grad():
        plain = model(ids, attention_mask=mask)[0]
        for name, module in model.layers[0].conv.named_modules():
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
        watched = model(ids, attention_mask=mask)[0]
    torch.testing.assert_close(watched[mask.bool()], plain[mask.bool()], atol=1e-5, rtol=1e-5)
    assert set(seen) == {"", "in_proj", "conv", "out_proj"}
