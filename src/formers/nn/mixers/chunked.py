"""Attention within chunks, and to vectors beside the row. Roles: those of attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.interface import without_own
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.masks import Full, Padding
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.tree import leaf
from formers.nn.windows import Around, Aside, around


class AttendChunked(Attend):
    """Project, attend in both streams, project back."""

    spec: spec.Chunked

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        s = self.spec
        self.leaves["o"] = lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E], of both streams; where somebody looks chunks before and behind are full."""
        pass_, second = flow.pass_, flow.second
        rows = [_runs(pass_, t) for t in self._project(node, flow)]
        others: list[list[Any]] = [[None] * len(rows[0])] * 3
        if second is not None:
            others = [_beside(pass_, t) for t in self._project(node, second)]
        found = [self._mixed(node, flow, *parts) for parts in zip(*rows, *others, strict=True)]
        if second is not None:
            second.x = self._back(node, flow, [beside for _, beside in found if beside is not None])
        flow.x = self._back(node, flow, [mixed for mixed, _ in found])

    def _back(self, node: Any, flow: Flow, mixed: list[Tensor]) -> Tensor:
        """Runs [b, t, H, D] -> [.., E]."""
        whole = mixed[0] if flow.watched else torch.cat([part.flatten(0, 1) for part in mixed])
        return project(leaf(node, "o"), whole.flatten(-2), None, flow.watched)

    def _mixed(
        self,
        node: Any,
        flow: Flow,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        beside: Tensor | None,
        beside_k: Tensor,
        beside_v: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """q, k, v [b, t, H, D], and those beside, [b, G, H, D] or None -> what both mix, shaped as q."""
        s, pass_ = self.spec, flow.pass_
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        real, shown, length = pass_.visibility.real, "attentions" in pass_.trace, q.shape[2]
        rate, scale = s.dropout if node.training else 0.0, q.shape[-1] ** -0.5
        size, shift = s.size, s.shift
        if length <= size - shift and not (flow.watched or shown):
            size, shift = length, 0  # one chunk holds all
        before = 0 if flow.watched else shift
        if shift:
            inner, behind = (length - 2 * shift, 0) if flow.watched else (length, shift * shown)
            real = torch.ones(1, inner, dtype=torch.bool, device=q.device) if real is None else real
            q, k, v = (F.pad(t, (0, 0, before, behind)) for t in (q, k, v))
            real = F.pad(real, (shift, q.shape[2] - shift - inner))
        if beside is None:
            mixed, _ = around(q, k, v, Around(size), scale, real, None, None, rate)
            return mixed.transpose(1, 2)[:, before : before + length], None
        asks, more_k, more_v = (t.transpose(1, 2) for t in (beside, beside_k, beside_v))
        aside = Aside(more_k, more_v)
        mixed, local = around(q, k, v, Around(size), scale, real, None, aside, rate, shown)
        count = asks.shape[2]
        seen = None if real is None else F.pad(real, (count, 0), value=True).expand(q.shape[0], -1)
        at = pass_.range(0, count), pass_.range(0, count + q.shape[2])
        scores = Scores(Full() if seen is None else Padding(seen), *at, scale=scale, dropout=rate)
        both = torch.cat((more_k, k), 2), torch.cat((more_v, v), 2)
        backend = without_own(pass_.backend, "attention in chunks")
        found, whole = backend(asks, *both, scores)
        if shown:
            flow.weights = local
            pass_.keep("attentions", {"global": whole, "local": local})
        return mixed.transpose(1, 2)[:, before : before + length], found.transpose(1, 2)


def _runs(pass_: Pass, rows: Tensor) -> list[Any]:
    """Each run of sequences, [b, t, ..]."""
    return [rows] if pass_.watched else pass_.layout.by_span(rows)


def _beside(pass_: Pass, rows: Tensor) -> list[Any]:
    """What stands beside each run of sequences, [b, G, ..]."""
    if pass_.watched:
        return [rows]
    counts = [span.count for span in pass_.layout.spans]
    return list(torch.split(rows.view(sum(counts), -1, *rows.shape[1:]), counts))


class Fill(Step):
    """Where somebody looks, rows are filled up on both sides, and (`back`) become what they were."""

    def __init__(self, shift: int, back: bool = False) -> None:
        super().__init__()
        self.shift, self.back = shift, back

    def run(self, node: Any, flow: Flow) -> None:
        """[B, T, E] -> [B, T + 2 * shift, E], or back."""
        if flow.pass_.watched and not flow.beside:
            flow.x = F.pad(flow.x, (0, 0, *(2 * [-self.shift if self.back else self.shift])))


def chunked_steps(s: spec.Chunked, width: int) -> list[Step]:
    """One step, as both streams go through the output projection in turn; and zeros around it."""
    if not s.shift:
        return [AttendChunked(s, width)]
    return [Fill(s.shift), AttendChunked(s, width), Fill(s.shift, back=True)]
