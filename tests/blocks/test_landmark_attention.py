"""Attention through landmarks, and by hashes, against their definitions in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.hashed_attention import hashed_steps
from formers.nn.mixers.landmark_attention import landmarks_steps
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

HEADS, EACH, WIDTH, LENGTH = 3, 4, 12, 6
ROLES = ("q", "k", "v", "o", "value_conv")
KINDS = {
    "landmarks": spec.LandmarkAttention(
        spec.Heads(HEADS, HEADS, EACH), count=3, length=LENGTH, kernel=3, exact=True
    ),
    "plain": spec.LandmarkAttention(spec.Heads(HEADS, HEADS, EACH), count=6, length=6, kernel=5),
    "hashed": spec.HashedAttention(spec.Heads(HEADS, HEADS, EACH), bits=4, kernel=3),
}


def node_of(s: Any) -> Any:
    """What computes it, with random weights in float64."""
    owner = Block()
    steps = (hashed_steps if isinstance(s, spec.HashedAttention) else landmarks_steps)(s, WIDTH)
    build(owner, steps, {role: f"attn.{role}" for role in ROLES})
    made: Any = owner.attn
    made.double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return made


def weighed(s: Any, q: Tensor, k: Tensor, v: Tensor, real: Tensor) -> Tensor:
    """One head's [T, D] each, as the papers write it."""
    if isinstance(s, spec.HashedAttention):
        cosines = torch.stack([torch.cosine_similarity(row[None], k) for row in q])
        mixed = (1 - torch.acos(cosines) / math.pi) ** s.bits @ v
        return mixed / mixed.norm(dim=-1, keepdim=True)

    def soft(a: Tensor, b: Tensor, hidden: Tensor | None = None) -> Tensor:
        scores = a @ b.T / math.sqrt(EACH)
        return (scores if hidden is None else scores.masked_fill(hidden, float("-inf"))).softmax(-1)

    if s.count == s.length:
        return soft(q, k, ~real) @ v
    few_q, few_k = (torch.stack([part.mean(0) for part in t.chunk(s.count)]) for t in (q, k))
    a = soft(few_q, few_k)
    z = a.T / a.sum(0).max()
    one = torch.eye(s.count, dtype=a.dtype)
    for _ in range(6):
        z = z @ (13 * one - a @ z @ (15 * one - a @ z @ (7 * one - a @ z))) / 4
    return soft(q, few_k) @ z @ (soft(few_q, k, ~real) @ v)


def slowly(s: Any, w: dict[str, Tensor], x: Tensor, real: Tensor) -> Tensor:
    """One row, [T, E]."""
    q, k, v = (x @ w[f"{role}.weight"].T + w[f"{role}.bias"] for role in ("q", "k", "v"))
    heads = []
    for h in range(HEADS):
        part, kernel = slice(h * EACH, h * EACH + EACH), w["value_conv.weight"][h, 0, :, 0]
        read = v[:, part] * real[:, None] if isinstance(s, spec.HashedAttention) else v[:, part]
        around = [
            sum(
                kernel[j] * read[t + j - s.kernel // 2]
                for j in range(s.kernel)
                if 0 <= t + j - s.kernel // 2 < len(x)
            )
            for t in range(len(x))
        ]
        heads.append(weighed(s, q[:, part], k[:, part], v[:, part], real) + torch.stack(around))
    return torch.cat(heads, -1) @ w["o.weight"].T + w["o.bias"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sided", ["left", "right"])
def test_heads_mix_as_defined(kind: str, sided: str) -> None:
    torch.manual_seed(0)
    made, s = node_of(KINDS[kind]), KINDS[kind]
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    mask = torch.ones(2, LENGTH)
    mask[1, slice(4, None) if sided == "right" else slice(0, 2)] = 0
    flow = alone(x, mask)
    compute(made, flow)
    for row in range(2):
        expected = slowly(s, dict(made.state_dict()), x[row], mask[row].bool())
        torch.testing.assert_close(flow.x[row], expected)


def test_landmarks_begin_with_the_largest_sum_of_the_batch_where_each_has_not_its_own() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    results = []
    for exact in (True, False):
        torch.manual_seed(1)
        made = node_of(
            spec.LandmarkAttention(spec.Heads(HEADS, HEADS, EACH), count=3, length=6, kernel=3, exact=exact)
        )
        flow, first = alone(x), alone(x[:1])
        compute(made, flow), compute(made, first)
        results.append((flow.x[:1] - first.x).abs().max().item())
    assert results[0] < 1e-12 < results[1]


def test_a_row_of_another_length_is_told_how_to_be_cut() -> None:
    with pytest.raises(ValueError, match="make 6 tokens, not 5; tokenize with padding='max_length'"):
        compute(node_of(KINDS["landmarks"]), alone(torch.randn(1, 5, WIDTH, dtype=torch.float64)))


def test_equal_vectors_have_a_gradient_although_the_angle_between_them_has_none() -> None:
    made = node_of(KINDS["hashed"])
    x = torch.ones(1, LENGTH, WIDTH, dtype=torch.float64, requires_grad=True)
    flow = alone(x)
    compute(made, flow)
    flow.x.square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize(
    ("sizes", "told"),
    [({"count": 4, "length": 6}, "6 tokens do not make 4"), ({"kernel": 4}, "4 is not odd")],
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec.LandmarkAttention(spec.Heads(1, 1, 4), **sizes)
