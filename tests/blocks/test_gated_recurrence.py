"""The gated recurrence against its definition written out in float64, and what it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers
from formers.nn.mixers.gated_recurrence import _Root
from formers.nn.recurrence import recur_in_chunks
from tests.blocks.recurrences import hold_to_padding_and_cache, seen_inside, stirred

SMALL = {
    "vocab_size": 40,
    "hidden_size": 12,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "attention_window_size": 3,
    "block_types": ["recurrent"],
}


def small(**values: Any) -> Any:
    torch.manual_seed(0)
    return stirred(formers.RecurrentGemmaModel(formers.RecurrentGemmaConfig(**{**SMALL, **values})))


def slowly(mixer: Any, x: Tensor) -> Tensor:
    """One token and one feature at a time, [t, E] -> [t, E]."""
    w = {name: value.detach().double() for name, value in mixer.state_dict().items()}
    beside = x.double() @ w["linear_y.weight"].T + w["linear_y.bias"]
    beside = nn.functional.gelu(beside, approximate="tanh")
    read = x.double() @ w["linear_x.weight"].T + w["linear_x.bias"]
    kernel, out = w["conv_1d.weight"][:, 0], []
    state = torch.zeros(read.shape[1], dtype=torch.float64)
    for t in range(x.shape[0]):
        backs = range(min(kernel.shape[1], t + 1))
        u = w["conv_1d.bias"] + sum(kernel[:, -1 - back] * read[t - back] for back in backs)
        gates = {}
        for name in ("input", "recurrent"):
            weight, bias = w[f"rg_lru.{name}_gate_weight"], w[f"rg_lru.{name}_gate_bias"]
            blocks = zip(u.view(bias.shape), weight, bias, strict=True)
            gates[name] = torch.cat([block @ one + other for block, one, other in blocks]).sigmoid()
        kept = torch.exp(-8 * gates["recurrent"] * nn.functional.softplus(w["rg_lru.recurrent_param"]))
        share = (1 - kept**2).sqrt() if t else 1.0
        state = kept * state + share * gates["input"] * u
        out.append(state * beside[t])
    return torch.stack(out) @ w["linear_out.weight"].T + w["linear_out.bias"]


@pytest.mark.parametrize(("wide", "reach"), [(12, 4), (18, 1), (6, 2)])
@pytest.mark.parametrize("length", [1, 2, 13])
def test_it_is_its_definition(length: int, wide: int, reach: int) -> None:
    mixer = small(lru_width=wide, conv1d_width=reach).layers[0].temporal_block
    x = torch.randn(length, 12)
    with torch.no_grad():
        found = mixer(x[None])[0]
    torch.testing.assert_close(found.double(), slowly(mixer, x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 8, 9, 10, 16, 23])
def test_a_recurrence_in_chunks_and_its_gradients_are_those_of_its_definition(length: int) -> None:
    torch.manual_seed(0)
    fades, add = (torch.rand(2, length, 3, dtype=torch.float64) for _ in range(2))
    fades, state = -fades, torch.rand(2, 3, dtype=torch.float64)
    fades[0, length // 2, 1] = float("-inf")  # all is forgotten there
    given = [t.requires_grad_() for t in (fades, add, state)]
    expected, h = [], state
    for t in range(length):
        h = fades[:, t].exp() * h + add[:, t]
        expected.append(h)
    found, expected = recur_in_chunks(*given), torch.stack(expected, 1)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((made * weights).sum(), given) for made in (found, expected))
    torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        torch.testing.assert_close(recur_in_chunks(fades, add.clone(), state), expected)


def test_a_root_has_the_slope_of_a_root_up_to_a_bound() -> None:
    x = torch.tensor([0.0, 1e-9, 1e-4, 0.25, 1.0], dtype=torch.float64, requires_grad=True)
    found = _Root.apply(x)
    torch.testing.assert_close(found, x.sqrt())
    found.sum().backward()
    expected = torch.tensor([1000.0, 1000.0, 50.0, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("sided", ["left", "right"])
def test_padding_enters_nothing_and_a_cache_changes_nothing(sided: str) -> None:
    model = small(num_hidden_layers=3, block_types=["recurrent", "attention"])
    hold_to_padding_and_cache(model, sided, 12, 5, (2, 6, 4))


def test_whoever_looks_inside_sees_every_module_and_changes_nothing() -> None:
    model = small()
    assert seen_inside(model, model.layers[0].temporal_block) == {
        "",
        "linear_y",
        "act_fn",
        "linear_x",
        "conv_1d",
        "rg_lru",
        "linear_out",
    }


def test_a_fresh_model_keeps_most_of_what_it_holds() -> None:
    torch.manual_seed(0)
    unit = formers.RecurrentGemmaModel(formers.RecurrentGemmaConfig(**SMALL)).layers[0].temporal_block.rg_lru
    kept = torch.exp(-nn.functional.softplus(unit.recurrent_param))
    assert kept.min() >= 0.9 - 1e-6
    assert kept.max() <= 0.999 + 1e-6
    assert not unit.input_gate_bias.any()
    assert 0.0 < unit.input_gate_weight.std() < 0.1


def test_features_that_do_not_make_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="13 features cannot be shared out among 3 blocks"):
        small(lru_width=13)
