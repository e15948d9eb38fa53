"""Disentangled attention against its definition in float64, alone, packed and beside padding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.mixers.disentangled import disentangled_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, alone, build, compute
from formers.nn.tree import Block

HEADS, WIDTH, EACH, SPAN, LENGTH = 3, 12, 4, 5, 9
SPEC = spec.Disentangled(
    spec.Heads(HEADS, HEADS, EACH), span=SPAN, scale=0.3, to_position=True, to_content=True
)
ROLES = ("q", "k", "v", "o", "qkv", "position_k", "position_q", "q_bias", "v_bias")
NAMES = {role: f"attn.{role}" for role in ROLES}


def bucket(distance: int, span: int, limit: int) -> int:
    """Exact up to half of the span, then by even factors up to the limit; the sign is kept."""
    half, far = span // 2, abs(distance)
    if limit and far > half:
        far = half + math.ceil(math.log(far / half) / math.log((limit - 1) / half) * (half - 1) - 1e-6)
    return (
        max(-span, min(span - 1, math.copysign(far, distance)))
        if limit
        else max(-span, min(span - 1, distance))
    )


def slowly(s: spec.Disentangled, w: dict[str, Tensor], table: Tensor, x: Tensor) -> Tensor:
    """One sequence [T, E], pair by pair and head by head."""

    def made(role: str, row: Tensor) -> Tensor:
        bias = w.get(f"{role}.bias", torch.zeros((), dtype=x.dtype))
        return (w[f"{role}.weight"] @ row + bias).view(HEADS, EACH)

    def three(row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not s.fused:
            return made("q", row), made("k", row), made("v", row)
        by_head = (w["qkv.weight"] @ row).view(HEADS, 3, EACH)
        biases = w["q_bias"].view(HEADS, EACH), 0, w["v_bias"].view(HEADS, EACH)
        return tuple(by_head[:, i] + biases[i] for i in range(3))  # type: ignore[return-value]  # three of them

    rows = []
    for t, token in enumerate(x):
        q, _, _ = three(token)
        scores = torch.zeros(HEADS, len(x), dtype=x.dtype)
        for i, other in enumerate(x):
            _, k, _ = three(other)
            place = table[int(bucket(t - i, s.span, s.distance)) + s.span]
            score = (q * k).sum(-1)
            if s.to_position:
                score = score + (q * made("k" if s.shared else "position_k", place)).sum(-1)
            if s.to_content:
                score = score + (k * made("q" if s.shared else "position_q", place)).sum(-1)
            scores[:, i] = score * s.scale
        values = torch.stack([three(other)[2] for other in x])  # [S, H, D]
        mixed = torch.einsum("hs,shd->hd", scores.softmax(-1), values).flatten()
        rows.append(w["o.weight"] @ mixed + w["o.bias"])
    return torch.stack(rows)


def pieces(**values: Any) -> tuple[spec.Disentangled, Any, dict[str, Tensor], Tensor]:
    """A spec, the node that computes it, its weights and a table, all in float64."""
    torch.manual_seed(0)
    s, owner = replace(SPEC, **values), Block()
    build(owner, disentangled_steps(s, WIDTH), NAMES)
    made: Any = owner.attn
    made.double()
    weights = dict(made.named_parameters())
    with torch.no_grad():
        for value in weights.values():
            value.copy_(torch.randn(value.shape) * 0.5)
    return s, made, weights, torch.randn(2 * s.span, WIDTH, dtype=torch.float64)


KINDS: dict[str, dict[str, Any]] = {
    "distances beyond the span": {},
    "buckets": {"span": 6, "distance": 8},
    "contents to positions": {"to_content": False},
    "positions to contents": {"to_position": False},
    "shared projections": {"shared": True},
    "one leaf, biases beside it": {"fused": "groups", "bias": False, "apart": True, "position_bias": False},
    "neither": {"to_position": False, "to_content": False},
}


@pytest.mark.parametrize("values", KINDS.values(), ids=KINDS)
def test_disentangled_attention_is_its_definition(values: dict[str, Any]) -> None:
    s, made, weights, table = pieces(**values)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    expected = torch.stack([slowly(s, weights, table, row) for row in x])
    flow = alone(x)
    flow.pass_.memo.put("relative", table)
    compute(made, flow)
    torch.testing.assert_close(flow.x, expected)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padding computed"])
@pytest.mark.parametrize("values", [{}, {"span": 6, "distance": 8}], ids=["exact", "buckets"])
def test_rows_of_several_lengths_have_what_each_has_alone(values: dict[str, Any], packed: bool) -> None:
    s, made, weights, table = pieces(**values)
    real = torch.arange(LENGTH) < torch.tensor([[LENGTH], [2], [7]])
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64)
    layout = Layout.of(real) if packed else Layout.dense(3, LENGTH)
    rows = layout.pack(x)
    seen = Visibility(None if packed else real)
    flow = Flow(rows, Pass(Geometry(layout, torch.zeros(len(rows)).long()), seen, eager))
    flow.pass_.memo.put("relative", table)
    compute(made, flow)
    found = layout.unpack(flow.x)
    for row, kept in enumerate(real):
        torch.testing.assert_close(found[row, kept], slowly(s, weights, table, x[row, kept]))


def test_without_a_table_the_error_says_what_to_call() -> None:
    _, made, _, _ = pieces()
    with pytest.raises(ValueError, match="call the model, not a part"):
        compute(made, alone(torch.randn(1, 3, WIDTH, dtype=torch.float64)))
