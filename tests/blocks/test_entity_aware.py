"""Attention over a text and its entities against its definition in float64: packed, watched, padded."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager, sdpa
from formers.nn.layout import Layout
from formers.nn.mixers.entity_aware import aware_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, build, compute
from formers.nn.tree import Block

HEADS, EACH, TEXT, ENTITIES = 3, 4, 6, 3
WIDTH = HEADS * EACH
ROLES = ("q", "k", "v", "o", "text_entity_q", "entity_text_q", "entity_entity_q")
REAL = torch.tensor(
    [[1] * 9, [1, 1, 1, 0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 1, 0, 1, 1], [1] * 6 + [0] * 3]
).bool()


def placed() -> Block:
    torch.manual_seed(0)
    block = Block()
    steps = aware_steps(spec.EntityAware(spec.Heads(HEADS, HEADS, EACH)), WIDTH)
    build(block, steps, {role: f"attn.{role}" for role in ROLES})
    block.double().requires_grad_(False)
    for value in block.parameters():
        value.normal_()
    return block


def slowly(block: Block, x: Tensor, real: Tensor, second: int) -> Tensor:
    """One sequence [T, E], pair by pair and head by head; zeros at padding."""
    leaves = {role: block.get_submodule(f"attn.{role}") for role in ROLES}
    kinds = {(0, 0): "q", (0, 1): "text_entity_q", (1, 0): "entity_text_q", (1, 1): "entity_entity_q"}
    mixed = torch.zeros(len(x), HEADS, EACH, dtype=x.dtype)
    seen = [j for j in range(len(x)) if real[j]]
    for i in seen:
        for h in range(HEADS):
            part = slice(h * EACH, (h + 1) * EACH)
            scores = torch.stack(
                [
                    leaves[kinds[int(i >= second), int(j >= second)]](x[i])[part] @ leaves["k"](x[j])[part]
                    for j in seen
                ]
            )
            weights = (scores / math.sqrt(EACH)).softmax(0)
            mixed[i, h] = sum(w * leaves["v"](x[j])[part] for w, j in zip(weights, seen, strict=True))
    return leaves["o"](mixed.flatten(1)) * real[:, None]


@pytest.mark.parametrize("backend", [eager, sdpa])
@pytest.mark.parametrize("how", ["packed", "dense rows", "watched"])
@pytest.mark.parametrize("second", [TEXT, None])
def test_queries_differ_by_what_looks_at_what(backend: object, how: str, second: int | None) -> None:
    block, length = placed(), TEXT + ENTITIES
    x = torch.randn(4, length, WIDTH, dtype=torch.float64)
    packed = how == "packed"
    layout = Layout.of(REAL) if packed else Layout.dense(4, length)
    rows = x if how == "watched" else layout.pack(x)
    geometry = Geometry(layout, torch.zeros(1, length, dtype=torch.long), 0, second)
    seen = Visibility(None if packed else REAL)
    flow = Flow(rows, Pass(geometry, seen, backend, watched=how == "watched"))
    compute(block, flow)
    found = flow.x if how == "watched" else layout.unpack(flow.x)
    for row in range(4):
        expected = slowly(block, x[row], REAL[row], length if second is None else second)
        torch.testing.assert_close(found[row] * REAL[row][:, None], expected)


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="neither turned nor normed"):
        spec.EntityAware(spec.Heads(HEADS, HEADS, EACH), fused="blocks")
