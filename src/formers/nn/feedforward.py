"""The position-wise feed-forward of one layer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from formers.nn import spec
from formers.nn.dropout import drop
from formers.nn.kernels import project
from formers.nn.leaves import Block, linear


def place_feedforward(block: Block, s: spec.FeedForward, width: int, paths: Mapping[str, str]) -> None:
    """Register the leaves under the roles `up`, `down` and, when gated, `gate`."""
    block.place("up", paths["up"], linear(s.linear, width, s.inner, s.bias))
    if s.gated:
        block.place("gate", paths["gate"], linear(s.linear, width, s.inner, s.bias))
    block.place("down", paths["down"], linear(s.linear, s.inner, width, s.bias))


def feed_forward(block: Block, s: spec.FeedForward, x: Tensor) -> Tensor:
    """[N, E] -> [N, E]."""
    if s.gated:
        # the activation is on the gate: Shazeer 2020, arXiv:2002.05202
        inner = project(block.leaf("gate"), x, s.activation) * project(block.leaf("up"), x)  # [N, F]
    else:
        inner = project(block.leaf("up"), x, s.activation)  # [N, F]
    if s.dropout and block.training:
        inner = drop(inner, s.dropout)
    out = project(block.leaf("down"), inner)  # [N, E]
    return drop(out, s.out_dropout) if s.out_dropout and block.training else out
