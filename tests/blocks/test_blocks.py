"""Leaves by role, packed layouts, matrix kernels and activations."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.activations import ACT2FN

from formers.nn import kernels
from formers.nn.activations import ACTIVATIONS, activation
from formers.nn.attend import eager
from formers.nn.dropout import drop
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import Conv1D, RMSNorm
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.tree import Block, leaf, place


def test_a_leaf_that_was_replaced_from_outside_is_the_one_that_runs() -> None:
    block = Block()
    place(block, "up", "mlp.dense", nn.Linear(3, 3))
    assert list(block.state_dict()) == ["mlp.dense.weight", "mlp.dense.bias"]
    replacement = nn.Identity()
    block.get_submodule("mlp").dense = replacement
    assert leaf(block, "up") is replacement


def test_numbered_nodes_can_be_indexed_and_copies_are_independent() -> None:
    block = Block()
    place(block, "q", "layer.0.q", nn.Linear(2, 2))
    place(block, "k", "layer.1.k", nn.Linear(2, 2))
    assert block.get_submodule("layer")[1] is block.get_submodule("layer.1")
    for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert leaf(twin, "q") is twin.get_submodule("layer.0.q")
        assert leaf(twin, "q") is not leaf(block, "q")


masks = (
    st.integers(1, 5)
    .flatmap(
        lambda width: st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=6
        )
    )
    .filter(lambda rows: any(any(row) for row in rows))
)


@given(masks)
def test_packing_and_unpacking_keeps_every_real_token_in_its_place(rows: list[list[bool]]) -> None:
    real = torch.tensor(rows)
    layout = Layout.of(real)
    values = torch.arange(1.0, real.numel() + 1).view(*real.shape, 1)
    packed = layout.pack(values)
    assert packed.shape[0] == layout.rows == int(real.sum())
    assert torch.equal(layout.unpack(packed), values * real[..., None])
    assert sum(span.count for span in layout.spans) == int(real.any(1).sum())
    first = layout.first(packed)
    for row, found in enumerate(first):
        expected = values[row][real[row]][0] if real[row].any() else torch.zeros(1)
        assert torch.equal(found, expected)


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4), st.randoms())
def test_the_highest_score_of_each_row_is_found_packed_and_padded(rows: list[list[bool]], draw: Any) -> None:
    real = torch.tensor([[*row[1:], True] for row in rows])
    scores = torch.tensor([[draw.randint(0, 3) for _ in row] for row in rows])
    x = torch.randn(*real.shape, 3)
    wanted = [
        max((c for c in range(5) if real[b, c]), key=lambda c: int(scores[b, c])) for b in range(len(rows))
    ]
    expected = x[torch.arange(len(rows)), torch.tensor(wanted)]
    packed, dense = Layout.of(real), Layout.dense(*real.shape)
    at = torch.arange(5)[None]
    for layout, seen, read in (
        (packed, None, packed.pack),
        (packed, None, lambda t: t if t is x else packed.pack(t)),
        (dense, real, dense.pack),
        (dense, real, lambda t: t),
    ):
        pass_ = Pass(Geometry(layout, at), Visibility(seen), eager)
        assert torch.equal(pass_.highest(read(x), read(scores)), expected)


def test_each_span_holds_sequences_of_one_length_in_order() -> None:
    real = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    layout = Layout.of(real)
    assert [(s.count, s.length) for s in layout.spans] == [(1, 1), (2, 2), (1, 3)]
    ids = layout.pack(torch.arange(12).view(4, 3))
    assert ids.tolist() == [11, 0, 1, 6, 7, 3, 4, 5]


@pytest.mark.parametrize("name", [None, "gelu", "gelu_new", "relu", "tanh", "silu"])
@pytest.mark.parametrize("kind", ["linear", "linear without bias", "conv1d"])
@pytest.mark.parametrize("mkl", [False, True])
def test_the_fast_kernel_computes_what_the_leaf_computes(
    kind: str, name: str | None, mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_mkl", mkl)
    torch.manual_seed(0)
    leaf = Conv1D(80, 48) if kind == "conv1d" else nn.Linear(48, 80, bias=kind == "linear")
    nn.init.normal_(leaf.weight, std=0.3)
    x = torch.randn(70, 48)
    expected = leaf(x) if name is None else activation(name)(leaf(x))
    with torch.no_grad():
        torch.testing.assert_close(project(leaf, x, name), expected, atol=1e-5, rtol=1e-5)
    again = x.clone().requires_grad_()
    x.requires_grad_()
    leaf.zero_grad()
    (leaf(x) if name is None else activation(name)(leaf(x))).square().sum().backward()
    grads = [x.grad, *(p.grad.clone() for p in leaf.parameters())]
    leaf.zero_grad()
    project(leaf, again, name).square().sum().backward()
    for mine, theirs in zip([again.grad, *(p.grad for p in leaf.parameters())], grads, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("mkl", "rows", "wide", "grad", "fused"),
    [
        (False, 64, 64, False, True),
        (True, 64, 64, False, False),  # a cache holds the weight
        (True, 64, 1100, False, True),
        (True, 2, 1100, False, False),
        (True, 64, 1100, True, False),
    ],
)
def test_each_processor_takes_the_product_that_is_fast_on_it(
    mkl: bool, rows: int, wide: int, grad: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_mkl", mkl)
    with torch.set_grad_enabled(grad):
        assert kernels._eligible(nn.Linear(wide, wide), torch.randn(rows, wide)) is fused


@pytest.mark.skipif(torch.bfloat16 not in kernels._dtypes, reason="this processor has no bfloat16 products")
@pytest.mark.parametrize("name", [None, "gelu", "silu"])
def test_the_fast_kernel_takes_bfloat16_where_no_gradient_is_wanted(name: str | None) -> None:
    torch.manual_seed(0)
    leaf, x = nn.Linear(64, 96).bfloat16(), torch.randn(64, 64).bfloat16()
    assert not kernels._eligible(leaf, x)  # its weight wants one
    with torch.no_grad():
        assert kernels._eligible(leaf, x)
        found = project(leaf, x, name)
        wide = nn.functional.linear(x.float(), leaf.weight.float(), leaf.bias.float())
    assert found.dtype is torch.bfloat16
    expected = wide if name is None else activation(name)(wide)
    torch.testing.assert_close(found.float(), expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("why", ["hook", "parametrised", "subclass", "double", "small"])
def test_a_leaf_that_is_more_than_a_product_is_called_plainly(why: str) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    leaf: nn.Module = Doubled(64, 64) if why == "subclass" else nn.Linear(64, 64)
    x = torch.randn(2 if why == "small" else 64, 64)
    if why == "hook":
        leaf.register_forward_hook(lambda *_: x * 0)
    if why == "parametrised":
        leaf = nn.utils.parametrizations.weight_norm(leaf)
    if why == "double":
        leaf, x = leaf.double(), x.double()
    assert why == "hook" or not kernels._eligible(leaf, x)  # a hook is asked for before
    assert torch.equal(project(leaf, x), leaf(x))


def test_an_activation_is_written_over_a_product_and_over_nothing_else() -> None:
    x = torch.randn(64, 64)
    kept = x.clone()
    with torch.no_grad():
        found = project(nn.Identity(), x, "relu", watched=False)
    assert torch.equal(x, kept)
    assert torch.equal(found, kept.relu())


def test_second_derivatives_pass_through_the_fast_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_mkl", False)
    leaf = nn.Linear(32, 64)
    x = torch.randn(64, 32, requires_grad=True)

    def penalty(y: torch.Tensor) -> torch.Tensor:
        (slope,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), leaf.weight)
        return second

    torch.testing.assert_close(penalty(project(leaf, x)), penalty(leaf(x)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) & set(ACT2FN)))
def test_activations_are_the_references(name: str) -> None:
    x = torch.linspace(-12, 12, 301)
    torch.testing.assert_close(activation(name)(x), ACT2FN[name](x), atol=1e-5, rtol=1e-5)


def test_an_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'gelo'.*did you mean 'gelu'"):
        activation("gelo")


def test_rms_norm_keeps_half_precision_and_counts_in_float32() -> None:
    norm = RMSNorm(16, 1e-6)
    x = torch.randn(4, 16) * 100
    expected = nn.functional.rms_norm(x, (16,), norm.weight, 1e-6)
    torch.testing.assert_close(norm(x), expected)
    half = norm.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rate", [0.1, 0.37, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(501, 999, dtype=dtype, requires_grad=True)
    y = drop(x, rate)
    assert y.dtype is dtype
    share = (y == 0).double().mean().item()
    assert abs(share - rate) < 0.003
    assert set(y.unique().tolist()) == {0.0, y.max().item()}
    assert abs(y.double().mean().item() - 1) < 0.02
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    neighbours = (y[:, 1:] == 0).double() * (y[:, :-1] == 0).double()
    assert abs(neighbours.mean().item() - rate**2) < 0.003  # four elements share a draw, not a fate


def test_dropout_is_decided_by_the_seed_and_ends_at_the_ends() -> None:
    x = torch.randn(33, 7)
    torch.manual_seed(3)
    first = drop(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(drop(x, 0.5), first)
    assert not torch.equal(drop(x, 0.5), first)
    assert drop(x, 0.0) is x
    assert not drop(x, 1.0).any()
    with pytest.raises(ValueError, match="between 0 and 1"):
        drop(x, 1.5)
