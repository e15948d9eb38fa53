"""Attention at two resolutions, against its definition in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.multi_resolution import resolved_steps
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

HEADS, EACH, WIDTH, BLOCK = 2, 3, 6, 2
CASES: dict[str, dict[str, Any]] = {
    "six pairs": {"chosen": 6},  # every row's best pair is as good as that of any other
    "finely alone": {"chosen": 4, "coarse": False},
    "the first and the diagonal": {"chosen": 5, "first": 1, "diagonal": 1},
    "more pairs than there are": {"chosen": 99},
}


def slowly(s: spec.MultiResolution, q: Tensor, k: Tensor, v: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """One head's [T, D] each, pair by pair: what is mixed, and the weights [T, T]."""
    starts = range(0, len(q), BLOCK)
    parts = [[i for i in range(a, a + BLOCK) if i < len(q) and real[i]] for a in starts]
    zero = torch.zeros(EACH, dtype=q.dtype)
    means = [[t[part].mean(0) if part else zero for part in parts] for t in (q, k, v)]
    count = range(len(parts))
    raw = torch.stack([row @ torch.stack(means[1]).T for row in means[0]]) / math.sqrt(EACH)
    ranks = {
        (a, b): float(raw[a, b] - raw[a].max())
        + 5e3 * (a < s.first)
        + 5e3 * (b < s.first)
        + 5e3 * (bool(s.diagonal) and abs(a - b) <= s.diagonal // 2)
        for a in count
        for b in count
        if parts[a] and parts[b]
    }
    chosen = sorted(ranks, key=lambda pair: -ranks[pair])[: s.chosen]
    weights = torch.zeros(len(q), len(q), dtype=q.dtype)
    for a, b in ranks:
        for i in parts[a]:
            for j in parts[b]:
                fine = (a, b) in chosen
                score = q[i] @ k[j] / math.sqrt(EACH) if fine else raw[a, b]
                weights[i, j] = score.exp() if fine or s.coarse else 0.0
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-300)
    return weights @ v, weights  # the mean of values is what equal weights give


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sided", ["left", "right"])
def test_pairs_of_blocks_are_seen_finely_or_by_their_means(case: str, sided: str) -> None:
    torch.manual_seed(0)
    owner = Block()
    s = spec.MultiResolution(spec.Heads(HEADS, HEADS, EACH), block=BLOCK, **CASES[case])
    build(owner, resolved_steps(s, WIDTH), {role: f"attn.{role}" for role in ("q", "k", "v", "o")})
    made: Any = owner.attn
    made.double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)  # the last block is not full
    mask = torch.ones(2, 7)
    mask[1, slice(4, None) if sided == "right" else slice(0, 3)] = 0
    flow = alone(x, mask)
    flow.pass_.trace["attentions"] = []
    compute(made, flow)
    w = dict(made.state_dict())
    for row in range(2):
        q, k, v = (x[row] @ w[f"{role}.weight"].T + w[f"{role}.bias"] for role in ("q", "k", "v"))
        parts = [slice(h * EACH, h * EACH + EACH) for h in range(HEADS)]
        found = [slowly(s, q[:, part], k[:, part], v[:, part], mask[row].bool()) for part in parts]
        expected = torch.cat([mixed for mixed, _ in found], -1) @ w["o.weight"].T + w["o.bias"]
        torch.testing.assert_close(flow.x[row], expected)
        weights = torch.stack([weight for _, weight in found])
        torch.testing.assert_close(flow.pass_.trace["attentions"][0][row], weights)
