"""What speaks, against definitions in float64: vectors of offsets, convolutions, splines."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import eager
from formers.nn.layout import Layout
from formers.nn.mixers.convolutional_feedforward import convolved_steps
from formers.nn.mixers.offsets import offsets_steps
from formers.nn.nets.flows import unbend
from formers.nn.passing import Geometry, Pass, Visibility
from formers.nn.program import Flow, Step, build, compute
from formers.nn.tree import Block

HEADS, EACH, LENGTH, REACH = 3, 4, 9, 2
WIDTH = HEADS * EACH
REAL = torch.tensor([[1] * 9, [1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1, 1]]).bool()


def placed(steps: list[Step], roles: tuple[str, ...]) -> Block:
    torch.manual_seed(0)
    block = Block()
    build(block, steps, {role: f"part.{role}" for role in roles})
    block.double().requires_grad_(False)
    for value in block.parameters():
        value.normal_()
    return block.eval()


def computed(block: Block, x: Tensor, how: str) -> Tensor:
    packed = how == "packed"
    layout = Layout.of(REAL) if packed else Layout.dense(3, LENGTH)
    rows = x if how == "watched" else layout.pack(x)
    geometry = Geometry(layout, torch.zeros(1, LENGTH, dtype=torch.long), 0)
    flow = Flow(rows, Pass(geometry, Visibility(None if packed else REAL), eager, watched=how == "watched"))
    compute(block, flow)
    return flow.x if how == "watched" else layout.unpack(flow.x)


def attended(block: Block, x: Tensor, values: bool) -> Tensor:
    """One sequence [T, E], pair by pair and head by head."""
    w = dict(block.part.named_parameters())
    q, k, v = (x @ w[f"{role}.weight"].T + w[f"{role}.bias"] for role in "qkv")
    mixed = torch.zeros_like(q)
    for h in range(HEADS):
        part = slice(h * EACH, (h + 1) * EACH)
        for i in range(len(x)):
            near = {j: j - i + REACH for j in range(len(x)) if abs(j - i) <= REACH}
            keys = [k[j, part] + (w["offset_k"][0, near[j]] if j in near else 0) for j in range(len(x))]
            weights = torch.stack([q[i, part] @ key / math.sqrt(EACH) for key in keys]).softmax(0)
            for j, weight in enumerate(weights):
                more = w["offset_v"][0, near[j]] if values and j in near else 0
                mixed[i, part] += weight * (v[j, part] + more)
    return mixed @ w["o.weight"].T + w["o.bias"]


@pytest.mark.parametrize("how", ["packed", "dense rows", "watched"])
@pytest.mark.parametrize("values", [True, False])
def test_offsets_within_reach_have_keys_and_values_of_their_own(how: str, values: bool) -> None:
    s = spec.Offsets(spec.Heads(HEADS, HEADS, EACH), reach=REACH, values=values)
    roles = ("q", "k", "v", "o", "offset_k", *(("offset_v",) if values else ()))
    block = placed(offsets_steps(s, WIDTH), roles)
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64)
    found = computed(block, x, how)
    for row, real in enumerate(REAL):
        torch.testing.assert_close(found[row][real], attended(block, x[row][real], values))


@pytest.mark.parametrize("how", ["packed", "dense rows", "watched"])
@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_a_convolved_feed_forward_sees_zeros_beyond_a_sequence(how: str, kernel: int) -> None:
    s = spec.ConvolvedFeedForward(7, kernel, "relu")
    block = placed(convolved_steps(s, WIDTH), ("up", "act", "inner_dropout", "down"))
    x, w = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64), dict(block.part.named_parameters())

    def convolved(role: str, rows: Tensor) -> Tensor:
        made = []
        for i in range(len(rows)):
            total = w[f"{role}.bias"].clone()
            for step in range(kernel):
                at = i + step - (kernel - 1) // 2
                if 0 <= at < len(rows):
                    total += w[f"{role}.weight"][:, :, step] @ rows[at]
            made.append(total)
        return torch.stack(made)

    found = computed(block, x, how)
    for row, real in enumerate(REAL):
        expected = convolved("down", convolved("up", x[row][real]).relu())
        torch.testing.assert_close(found[row][real], expected)


def test_a_spline_is_bent_back() -> None:
    torch.manual_seed(0)
    bins, bound = 5, 2.0
    widths, heights = torch.randn(2, 40, bins, dtype=torch.float64).unbind()
    slopes = torch.randn(40, bins - 1, dtype=torch.float64)
    y = torch.linspace(-bound, bound, 40, dtype=torch.float64)
    x = unbend(y, widths, heights, slopes, bound)
    least = 1e-3
    for i in range(40):  # the spline itself, as the paper has it (equation 4)
        shares = [least + (1 - bins * least) * one[i].softmax(0) for one in (widths, heights)]
        edges = [[2 * bound * float(one[:n].sum()) - bound for n in range(bins + 1)] for one in shares]
        ends = [1.0, *(least + math.log1p(math.exp(one)) for one in slopes[i]), 1.0]
        at = float(x[i])
        n = max(k for k in range(bins) if edges[0][k] <= at + 1e-12)
        wide, high = edges[0][n + 1] - edges[0][n], edges[1][n + 1] - edges[1][n]
        s, t = high / wide, (at - edges[0][n]) / wide
        above = high * (s * t**2 + ends[n] * t * (1 - t))
        below = s + (ends[n] + ends[n + 1] - 2 * s) * t * (1 - t)
        assert edges[1][n] + above / below == pytest.approx(float(y[i]), abs=1e-9)
