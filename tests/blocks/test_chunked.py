"""Attention within chunks and to what stands beside, against its definition in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.mixers.chunked import chunked_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build, compute
from formers.nn.tree import Block

HEADS, EACH, WIDTH, SIZE, LENGTH, COUNT = 3, 2, 6, 4, 11, 2


def attention(shift: int) -> Any:
    """A node with random weights."""
    torch.manual_seed(0)
    owner = Block()
    s = spec.Chunked(spec.Heads(HEADS, HEADS, EACH), size=SIZE, shift=shift)
    build(owner, chunked_steps(s, WIDTH), {role: f"attn.{role}" for role in ("q", "k", "v", "o")})
    with torch.no_grad():
        for parameter in owner.double().parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return owner


def slowly(
    w: dict[str, Tensor], x: Tensor, beside: Tensor, real: Tensor, shift: int
) -> tuple[Tensor, Tensor]:
    """[T, E] and [G, E], one query at a time, which looks at G and at what is in its own chunk, or at all."""
    both = torch.cat((beside, x))
    q, k, v = ((both @ w[f"{role}.weight"].T + w[f"{role}.bias"]).view(-1, HEADS, EACH) for role in "qkv")
    mixed = torch.zeros_like(q)
    for i in range(len(both)):
        own = (i - COUNT + shift) // SIZE
        keys = [
            j
            for j in range(len(both))
            if j < COUNT or (real[j - COUNT] and (i < COUNT or (j - COUNT + shift) // SIZE == own))
        ]
        for head in range(HEADS):
            weights = (q[i, head] @ k[keys, head].T / math.sqrt(EACH)).softmax(-1)
            mixed[i, head] = weights @ v[keys, head]
    out = mixed.flatten(1) @ w["o.weight"].T + w["o.bias"]
    return out[COUNT:], out[:COUNT]


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(
    ("sided", "packed"),
    [("left", False), ("right", False), ("right", True)],  # padding before chunks is not left out
)
def test_a_token_sees_its_chunk_and_what_stands_beside_which_sees_all(
    sided: str, shift: int, packed: bool
) -> None:
    owner = attention(shift)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    beside = torch.randn(2, COUNT, WIDTH, dtype=torch.float64)
    mask = torch.ones(2, LENGTH)
    mask[1, slice(6, None) if sided == "right" else slice(0, 5)] = 0
    real = mask.bool()
    if packed:
        layout = Layout.of(real)
        pass_ = Pass(Geometry(layout, layout.pack(torch.arange(LENGTH).expand(2, -1))), Visibility(), eager)
        rows, more = layout.pack(x), beside[layout.order].flatten(0, 1)
    else:
        pass_, rows, more = alone(x, mask).pass_, x, beside
    flow = Flow(rows, pass_, second=Flow(more, pass_, beside=True))
    compute(owner, flow)
    assert flow.second is not None
    found, others = flow.x, flow.second.x
    if packed:
        found, others = layout.unpack(found), others.view(2, COUNT, -1)[layout.order.argsort()]
    w = {name.removeprefix("attn."): value for name, value in owner.state_dict().items()}
    for row in range(2):
        expected, expected_beside = slowly(w, x[row], beside[row], real[row], shift)
        torch.testing.assert_close(found[row][real[row]], expected[real[row]])
        torch.testing.assert_close(others[row], expected_beside)
