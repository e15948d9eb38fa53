"""Norms within attention and feed-forwards (Wang et al. 2022, arXiv:2210.06423), by their definition."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from formers.nn import spec
from formers.nn.mixers.attention import attention_steps
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

NORM = spec.Norm("layer", 1e-3)


def computed(steps: Any, roles: tuple[str, ...], x: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """A node of those steps whose leaves have values, and what it makes of rows."""
    owner = Block()
    build(owner, steps, {role: f"part.{role}" for role in roles})
    node: Any = owner.part
    for value in node.double().parameters():
        nn.init.normal_(value, std=0.5)
    flow = alone(x)
    compute(owner, flow)
    return node, flow.x


def test_what_heads_mixed_is_normed_before_it_is_projected_back() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6).double()
    s = spec.Attention(spec.Heads.split(6, 1), mixed_norm=NORM)
    node, found = computed(attention_steps(s, 6), ("q", "k", "v", "mixed_norm", "o"), x)
    weights = (node.q(x) @ node.k(x).transpose(1, 2) / 6**0.5).softmax(-1)
    assert torch.allclose(found, node.o(node.mixed_norm(weights @ node.v(x))))


def test_inner_values_are_normed_before_they_are_projected_back() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6).double()
    s = spec.FeedForward(5, "relu", norm=NORM)
    node, found = computed(feedforward_steps(s, 6), ("up", "act", "inner_norm", "down"), x)
    assert torch.allclose(found, node.down(node.inner_norm(node.up(x).relu())))
