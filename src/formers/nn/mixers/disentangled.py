"""Attention where contents and relative positions see each other apart. Roles: see `spec.Disentangled`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Bare, Flow, Step
from formers.nn.recording import recording
from formers.nn.steps import Drop, Project
from formers.nn.tree import leaf


class AttendDisentangled(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.Disentangled

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        s = self.spec
        both = s.heads.query * s.heads.width
        self.drop = Drop("position_dropout", s.position_dropout)
        self.leaves |= self.drop.leaves if s.span else {}
        self.optional |= self.drop.optional
        if s.to_position and not s.shared:
            self.leaves["position_k"] = lambda: linear("linear", width, both, s.position_bias)
        if s.to_content and not s.shared:
            self.leaves["position_q"] = lambda: linear("linear", width, both)
        if s.apart:
            for role in ("q_bias", "v_bias"):
                self.leaves[role] = lambda: Bare(torch.zeros(both), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., H * D]."""
        flow.relative = None
        super().run(node, flow)

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """[.., E] -> [.., H, D] three times."""
        q, k, v = super()._project(node, flow)
        if self.spec.apart:
            q, v = (t + leaf(node, role).view(t.shape[-2:]) for t, role in ((q, "q_bias"), (v, "v_bias")))
        return q, k, v

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        mixed = super()._attend(node, flow, q, k, v, query, key)
        real = flow.pass_.visibility.real
        if real is None or real.shape[1] != q.shape[2]:
            return mixed
        # whoever compares scores of all places, padding included, finds there what the ecosystem has
        return torch.where(real[:, None, :, None], mixed, v.mean(2, keepdim=True))

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, S]: contents to positions, and positions to contents; and what the caller adds."""
        s, told = self.spec, self._score_bias(node, flow.pass_, query, key)
        if not (s.to_position or s.to_content):
            return told
        if flow.relative is None:
            flow.relative = self._positions(node, flow)
        first, position_k, position_q = flow.relative
        place = (s.span, s.distance, id(query), id(key))  # the pass keeps its ranges: ids are not used again
        index = flow.pass_.memo.once(place, lambda: s.index(query, key)) - first  # [T, S]
        bias: Tensor | None = told
        factor = s.scale or q.shape[-1] ** -0.5
        for content, positions, at in ((q, position_k, index), (k, position_q, index.t())):
            if positions is None:
                continue
            every = content @ positions.to(content.dtype)  # [b, H, T or S, R]
            found = every.gather(-1, at.expand(*every.shape[:3], -1))
            found = (found if content is q else found.transpose(-1, -2)) * factor
            bias = found if bias is None else bias + found
        return bias

    def _positions(self, node: Any, flow: Flow) -> tuple[int, Tensor | None, Tensor | None]:
        """The first row of the table that is read, and the rows as keys and as queries, [H, D, R] each."""
        s, heads, watched = self.spec, self.spec.heads, flow.watched
        table: Tensor | None = flow.pass_.memo.get("relative")
        if table is None:
            raise ValueError(
                "this attention reads its stack's table of relative positions: call the model, not a part"
            )
        dropped = Flow(table, flow.pass_)
        self.drop.run(node, dropped)
        first, last = self._reach(flow.pass_)
        rows = dropped.x[None, first:last]  # [1, R, E]

        def by_head(role: str) -> Tensor:
            made = project(leaf(node, role), rows if watched else rows[0], None, watched)
            return made.view(last - first, heads.query, heads.width).permute(1, 2, 0)

        position_k = by_head("k" if s.shared else "position_k") if s.to_position else None
        position_q = by_head("q" if s.shared else "position_q") if s.to_content else None
        return first, position_k, position_q

    def _reach(self, pass_: Pass) -> tuple[int, int]:
        """The rows of the table that the pass can read: those of distances within its longest sequence."""
        s = self.spec
        if recording() or (pass_.watched and not s.narrow):
            return 0, 2 * s.span
        longest = max((span.length for span in pass_.layout.spans), default=1)
        ends = s.index(torch.tensor([0, longest - 1]), torch.tensor([longest, 0]))
        return int(ends[0, 0]), int(ends[1, 1]) + 1


def disentangled_steps(s: spec.Disentangled, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear("linear", s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendDisentangled(s, width), out]
