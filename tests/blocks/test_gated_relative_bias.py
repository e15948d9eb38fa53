"""Attention whose queries weigh a bias of distances, against its definition in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager, sdpa
from formers.nn.layout import Layout
from formers.nn.mixers.gated_relative_bias import weighed_steps
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.positions import Buckets
from formers.nn.program import Flow, build, compute
from formers.nn.tree import Block

HEADS, EACH, LENGTH = 3, 4, 9
WIDTH = HEADS * EACH
RULE = Buckets(8, 6)
ROLES = ("q", "k", "v", "o", "score_bias", "bias_gates", "bias_gain")
REAL = torch.tensor([[1] * 9, [1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1, 1]]).bool()


def placed() -> Block:
    torch.manual_seed(0)
    block = Block()
    s = spec.GatedRelativeBias(spec.Heads(HEADS, HEADS, EACH), score_bias=RULE, owns_score_bias=True)
    build(block, weighed_steps(s, WIDTH), {role: f"attn.{role}" for role in ROLES})
    block.double().requires_grad_(False)
    for value in block.parameters():
        value.normal_()
    return block


def slowly(block: Block, x: Tensor) -> Tensor:
    """One sequence [T, E], pair by pair and head by head."""
    w = dict(block.attn.named_parameters())

    def made(role: str, row: Tensor) -> Tensor:
        return w[f"{role}.weight"] @ row + w[f"{role}.bias"]

    mixed = torch.zeros(len(x), HEADS, EACH, dtype=x.dtype)
    for i, token in enumerate(x):
        for h in range(HEADS):
            part = slice(h * EACH, (h + 1) * EACH)
            told = made("bias_gates", token[part])
            reset, update = told[:4].sum().sigmoid(), told[4:].sum().sigmoid()
            weight = reset * (update * w["bias_gain"][0, h, 0, 0] - 1) + 2
            scores = []
            for j, other in enumerate(x):
                bucket = RULE.of(torch.tensor(j - i))
                product = made("q", token)[part] @ made("k", other)[part] / math.sqrt(EACH)
                scores.append(product + weight * w["score_bias.weight"][bucket, h])
            shares = torch.stack(scores).softmax(0)
            mixed[i, h] = sum(s * made("v", other)[part] for s, other in zip(shares, x, strict=True))
    return torch.stack([made("o", row) for row in mixed.flatten(1)])


@pytest.mark.parametrize("backend", [eager, sdpa])
@pytest.mark.parametrize("how", ["packed", "dense rows", "watched"])
def test_queries_weigh_what_distances_add(backend: object, how: str) -> None:
    block = placed()
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64)
    packed = how == "packed"
    layout = Layout.of(REAL) if packed else Layout.dense(3, LENGTH)
    rows = x if how == "watched" else layout.pack(x)
    geometry = Geometry(layout, torch.zeros(1, LENGTH, dtype=torch.long), 0)
    flow = Flow(rows, Pass(geometry, Visibility(None if packed else REAL), backend, watched=how == "watched"))
    compute(block, flow)
    found = flow.x if how == "watched" else layout.unpack(flow.x)
    for row in range(3):
        torch.testing.assert_close(found[row][REAL[row]], slowly(block, x[row][REAL[row]]))


def test_there_must_be_distances_to_weigh() -> None:
    with pytest.raises(ValueError, match="a bias of distances in buckets"):
        spec.GatedRelativeBias(spec.Heads(HEADS, HEADS, EACH))
