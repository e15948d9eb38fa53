"""Attention and feed-forward over the places of a map, which read its other dimension too.

The pass holds the map's height and width as `map`. Roles: see `spec.SpatialReduction` and
`spec.MixedFeedForward`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.steps import Activate, Drop, Project, dense
from formers.nn.tree import leaf


def as_map(x: Tensor, pass_: Pass) -> Tensor:
    """[B, T, E] or [B * T, E] -> [B, E, height, width].

    Raises:
        ValueError: for a layer that is called by itself.
    """
    size: tuple[int, int] | None = pass_.memo.get("map")
    if size is None:
        raise ValueError("this layer reads the height and width of its map: call the model, not a part")
    return x.reshape(-1, *size, x.shape[-1]).permute(0, 3, 1, 2)


class AttendSpatialReduction(Attend):
    """Project, attend; what is projected back follows."""

    spec: spec.SpatialReduction

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        ratio = self.spec.ratio
        if ratio > 1:
            self.leaves["reduce"] = lambda: nn.Conv2d(width, width, ratio, stride=ratio)
            self.leaves["reduce_norm"] = lambda: norm(self.spec.reduced_norm, width)

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """[B, T, E] -> [B, T, H, D]; [B * T, E] likewise."""
        x, heads, pass_ = flow.x, self.spec.heads, flow.pass_
        q = project(leaf(node, "q"), x, None, flow.watched)
        if self.spec.ratio > 1:
            squares = leaf(node, "reduce")(as_map(x, pass_)).flatten(2).transpose(1, 2)  # [B, S, E]
            x = leaf(node, "reduce_norm")(squares)
        k, v = (project(leaf(node, role), x, None, flow.watched) for role in "kv")
        q_, k_, v_ = (
            t.reshape(pass_.layout.batch, -1, heads.query, heads.width).transpose(1, 2) for t in (q, k, v)
        )  # [B, H, T or S, D]
        at = pass_.range(0, q_.shape[2]), pass_.range(0, k_.shape[2])
        mixed = self._attend(node, flow, q_, k_, v_, *at).transpose(1, 2)
        return mixed.reshape(*q.shape[:-1], heads.query, heads.width)


class Depthwise(Step):
    """A convolution of every feature by itself over the map."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.leaves = {"depthwise": lambda: nn.Conv2d(width, width, kernel, 1, kernel // 2, groups=width)}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., F] -> [.., F]."""
        made = leaf(node, "depthwise")(as_map(flow.x, flow.pass_))
        flow.x = made.permute(0, 2, 3, 1).reshape(flow.x.shape)


def reduced_steps(s: spec.SpatialReduction, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendSpatialReduction(s, width), out]


def mixed_feedforward_steps(s: spec.MixedFeedForward, width: int) -> list[Step]:
    """Up, convolve, activate, drop, project back."""
    up = dense("up", width, s.inner, s.bias)
    up.begins = True
    made = [up, Depthwise(s.inner, s.kernel), Activate("act", s.activation)]
    return [*made, Drop("inner_dropout", s.dropout), dense("down", s.inner, width, s.bias)]
