"""Attention over the frames of every patch, or the patches of every frame. Roles: see `spec.Divided`.

Rows of the stack are [B, 1 + P * T, E], a class token and then patch by patch all frames; what attends are
groups of them, [B * P, T, E] over time, [B * T, 1 + P, E] over space, flat where nobody looks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Drop, Normalise, Project, Skip, dense
from formers.nn.tree import leaf


class _Part(Step):
    """Takes rows apart, or puts groups together."""

    def __init__(self, s: spec.Divided) -> None:
        super().__init__()
        self.spec = s

    def frames(self, flow: Flow) -> int:
        """T."""
        return int(flow.pass_.memo.get("frames") or self.spec.frames)


class Part(_Part):
    """Groups out of rows."""

    def run(self, node: Any, flow: Flow) -> None:
        """[B, 1 + P * T, E] -> [B * P, T, E] or [B * T, 1 + P, E]."""
        batch, width, frames = flow.pass_.layout.batch, flow.x.shape[-1], self.frames(flow)
        x = flow.x.view(batch, -1, width)
        if (x.shape[1] - 1) % frames:
            raise ValueError(f"a class token and patches of {frames} frames do not make {x.shape[1]} columns")
        patches = x[:, 1:].reshape(batch, -1, frames, width)  # [B, P, T, E]
        if self.spec.over == "space":
            first = x[:, None, :1].expand(-1, frames, -1, -1)
            patches = torch.cat((first, patches.transpose(1, 2)), dim=2)  # [B, T, 1 + P, E]
        flow.x = patches.reshape(-1, *patches.shape[2 if flow.watched else 3 :])


class Join(_Part):
    """Rows out of groups."""

    def run(self, node: Any, flow: Flow) -> None:
        """As `Part`, the other way; over time the class token is left out."""
        batch, width, frames = flow.pass_.layout.batch, flow.x.shape[-1], self.frames(flow)
        x = flow.x.view(batch, -1, width)
        if self.spec.over == "space":
            each = x.view(batch, frames, -1, width)  # [B, T, 1 + P, E]
            first = each[:, :, 0].mean(1, keepdim=True)
            x = torch.cat((first, each[:, :, 1:].transpose(1, 2).flatten(1, 2)), dim=1)
        flow.x = x if flow.watched else x.flatten(0, 1)


class Lead(Step):
    """Zeros for the class token, which has no part in time."""

    def run(self, node: Any, flow: Flow) -> None:
        """[B, P * T, E] -> [B, 1 + P * T, E]."""
        x = F.pad(flow.x.view(flow.pass_.layout.batch, -1, flow.x.shape[-1]), (0, 0, 1, 0))
        flow.x = x if flow.watched else x.flatten(0, 1)


def _length(s: spec.Divided, flow: Flow, rows: int) -> int:
    """Of a group, where there are so many rows in all."""
    frames = int(flow.pass_.memo.get("frames") or s.frames)
    return frames if s.over == "time" else rows // (flow.pass_.layout.batch * frames)


class AttendDivided(Attend):
    """What the heads mix within every group."""

    spec: spec.Divided

    def _roles(self, s: Any) -> str:
        return "time_" if s.over == "time" else ""

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """[.., E] -> [.., H, D]."""
        q, k, v = self._project(node, flow)
        rows = q.shape[:-2]
        length = _length(self.spec, flow, rows.numel())
        q, k, v = (t.reshape(-1, length, *t.shape[-2:]) for t in (q, k, v))
        return self._by_span(node, flow, q, k, v).reshape(*rows, *q.shape[-2:])

    def _mix(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, scores: Scores, name: str
    ) -> Tensor:
        """Weights over space are what callers ask for."""
        return super()._mix(node, flow, q, k, v, scores, self.prefix + name)


class SkipGroups(Skip):
    """Whole groups are left out in training."""

    def __init__(self, s: spec.Divided, role: str) -> None:
        super().__init__(role, s.skip)
        self.spec = s

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        if not flow.watched and leaf(node, self.role).training:
            flow.x = flow.x.view(-1, _length(self.spec, flow, len(flow.x)), flow.x.shape[-1])
        flow.x = leaf(node, self.role)(flow.x)


def divided_steps(s: spec.Divided, width: int) -> list[Step]:
    """Take apart, normalise, attend, project back, put together."""
    role, roles = ("time", "time_") if s.over == "time" else ("attention", "")
    made = [
        Part(s),
        Normalise(f"{role}_norm", s.norm, width),
        AttendDivided(s, width),
        Project(f"{roles}o", lambda: linear("linear", s.heads.query * s.heads.width, width, s.out_bias)),
        Drop(f"{role}_dropout", s.after),
        SkipGroups(s, role),
        Join(s),
    ]
    return [*made, dense("time_dense", width, width), Lead()] if s.over == "time" else made
