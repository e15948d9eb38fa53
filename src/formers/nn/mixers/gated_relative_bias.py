"""Attention whose bias of distances every query weighs. Roles: see `spec.GatedRelativeBias`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.positions import Buckets
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class AttendGatedBias(Attend):
    """What the heads read and mix, before the output projection. A query's last feature is its weight."""

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        heads = self.spec.heads
        self.leaves["bias_gates"] = lambda: linear("linear", heads.width, 8)
        self.leaves["bias_gain"] = lambda: Bare(torch.ones(1, heads.query, 1, 1), Constant(1.0))

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """[.., E] -> [.., H, D + 1], and [.., H, D] twice."""
        q, k, v = super()._project(node, flow)
        states = flow.x.view(*flow.x.shape[:-1], q.shape[-2], -1)  # [.., H, D]
        states = states.transpose(-3, -2) if flow.watched else states  # whoever looks sees [B, H, T, D]
        told = project(leaf(node, "bias_gates"), states, None, flow.watched)  # [.., 8]
        told = told.transpose(-3, -2) if flow.watched else told
        reset, update = (
            told.view(*told.shape[:-1], 2, 4).sum(-1).sigmoid().chunk(2, dim=-1)
        )  # [.., H, 1] each
        weight = reset * (update * leaf(node, "bias_gain").flatten()[:, None] - 1.0) + 2.0
        return torch.cat((q, weight), dim=-1), k, v

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, S]; what the caller adds is not weighed."""
        rule, told = self.spec.score_bias, flow.pass_.visibility.bias
        assert isinstance(rule, Buckets)
        found = q[..., -1:] * self._from_table(node, rule, flow.pass_, query, key)
        return found if told is None else found + told

    def _mix(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, scores: Scores, name: str
    ) -> Tensor:
        return super()._mix(node, flow, q[..., :-1], k, v, scores, name)


def weighed_steps(s: spec.GatedRelativeBias, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendGatedBias(s, width), out]
