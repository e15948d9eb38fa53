"""Attention by pointwise convolutions, which see [B, E, T]. Roles: those of `attention`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class Turn(Step):
    """[B, T, E] to [B, E, T] or back, in a watched pass."""

    def run(self, node: Any, flow: Flow) -> None:
        """Packed rows stay as they are."""
        if flow.watched:
            flow.x = flow.x.transpose(1, 2)


class AttendChannels(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.Channels

    def _make_projections(self, width: int) -> None:
        both = self.spec.heads.query * self.spec.heads.width
        for role, count in zip("qkv", self.spec.groups[:3], strict=True):
            kind = spec.Grouped(count, pointwise=True)
            self.leaves[role] = partial(linear, kind, width, both, self.spec.bias)

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """[N, E] -> [N, H, D] three times; [B, E, T] -> [B, T, H, D]."""
        heads, x, watched = self.spec.heads, flow.x, flow.watched
        made = (project(leaf(node, role), x, None, watched) for role in "qkv")
        q, k, v = (t.transpose(1, 2) if watched else t for t in made)
        return tuple(t.reshape(*t.shape[:-1], heads.query, heads.width) for t in (q, k, v))  # type: ignore[return-value]  # three

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] -> [N, E]; [B, E, T] -> [B, E, T]."""
        super().run(node, flow)
        Turn().run(node, flow)


def channels_steps(s: spec.Channels, width: int) -> list[Step]:
    """Attend, project back."""
    kind = spec.Grouped(s.groups[3], pointwise=True)
    out = Project("o", lambda: linear(kind, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendChannels(s, width), out]
