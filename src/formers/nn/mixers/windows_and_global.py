"""Attention within windows, where some tokens see all and are seen by all. Roles: `spec.WindowsAndGlobal`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores, Unsupported, eager
from formers.nn.interface import without_own
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.masks import Full, Padding
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.recording import recording
from formers.nn.steps import Project
from formers.nn.tree import leaf
from formers.nn.windows import Around, Aside, around, banded


class AttendNear(Attend):
    """Attention that does not compare every two tokens: each run of sequences is one call of `_mixed`."""

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """[N, E] or [B, T, E] -> [.., H, D]."""
        x, layout, marked = flow.x, flow.pass_.layout, flow.pass_.memo.get("marked")
        if marked is not None and recording() and "attentions" in flow.pass_.trace:
            raise Unsupported("how many tokens see all shapes the weights: a graph cannot return them")
        q, k, v = (self._by_head(node, role, x, flow.watched) for role in ("q", "k", "v"))
        if x.dim() == 3:
            return self._mixed(node, flow, x, q, k, v, marked)
        parts = [layout.by_span(t) for t in (x, q, k, v)]
        marks = [None] * len(layout.spans) if marked is None else layout.by_span(marked)
        mixed = [self._mixed(node, flow, *part).flatten(0, 1) for part in zip(*parts, marks, strict=True)]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _by_head(self, node: Any, role: str, x: Tensor, watched: bool) -> Tensor:
        """[.., E] -> [.., H, D]."""
        turned = watched and getattr(self.spec, "time_first", False)
        made = project(leaf(node, role), x.transpose(0, 1) if turned else x, None, watched)
        made = made.view(*made.shape[:-1], self.spec.heads.query, self.spec.heads.width)
        return made.transpose(0, 1) if turned else made

    def _mixed(
        self, node: Any, flow: Flow, x: Tensor, q: Tensor, k: Tensor, v: Tensor, marked: Tensor | None
    ) -> Tensor:
        """One run of sequences of `x` [b, t, E]; `q`, `k`, `v` are [b, t, H, D], as is what is returned."""
        raise NotImplementedError(f"{type(self).__name__} mixes nothing")


class AttendWindowed(AttendNear):
    """What the heads read and mix, before the output projection."""

    spec: spec.WindowsAndGlobal

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        both = self.spec.heads.query * self.spec.heads.width
        for role in ("q_global", "k_global", "v_global"):
            self.leaves[role] = lambda: linear("linear", width, both, self.spec.bias)

    def _mixed(
        self, node: Any, flow: Flow, x: Tensor, q: Tensor, k: Tensor, v: Tensor, marked: Tensor | None
    ) -> Tensor:
        """One run of sequences of `x` [b, t, E]; `q`, `k`, `v` are [b, t, H, D], as is what is returned."""
        s, pass_, length, weights = self.spec, flow.pass_, x.shape[1], None
        real, shown = pass_.visibility.real, "attentions" in pass_.trace
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        rate = s.dropout if node.training else 0.0
        backend = without_own(pass_.backend, "attention in windows")
        at, count = None, 0
        if marked is not None and recording():  # how many see all is not known: each could
            at = pass_.range(0, length).expand(x.shape[0], -1)
        elif marked is not None:
            count = int(marked.sum(1).max())
        if marked is not None and count:
            at = torch.argsort(marked.byte(), dim=1, descending=True, stable=True)[:, :count]  # [b, G]
        if length <= s.reach + 1 and not shown:  # every token sees all
            places = pass_.range(0, length)
            scores = Scores(pass_.visibility.mask(Full()), places, places, scale=s.scale, dropout=rate)
            mixed = backend(q, k, v, scores)[0]
        else:
            aside, seen = None, real
            if at is not None and marked is not None:
                rows = at[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3])  # [b, H, G, D]
                aside = Aside(k.gather(2, rows), v.gather(2, rows), marked.gather(1, at))
                seen = ~marked if real is None else real & ~marked
            scale = q.shape[-1] ** -0.5 if s.scale is None else s.scale
            where = Around.within(s.reach)
            mixed, weights = around(q, k, v, where, scale, seen, None, aside, rate, shown)
            weights = None if weights is None else banded(weights, where, length)
        mixed = mixed.transpose(1, 2)  # [b, t, H, D]
        if at is not None and marked is not None:
            mixed = self._from_everywhere(node, flow, x, mixed, at, marked.gather(1, at), rate)
        if weights is not None:
            for hidden in (None if real is None else ~real, marked):
                weights = weights if hidden is None else weights.masked_fill(hidden[:, None, :, None], 0.0)
            flow.weights = weights
            pass_.keep("attentions", weights)
        return mixed if real is None else mixed.masked_fill(~real[..., None, None], 0.0)

    def _from_everywhere(
        self, node: Any, flow: Flow, x: Tensor, mixed: Tensor, at: Tensor, held: Tensor, rate: float
    ) -> Tensor:
        """`mixed` with the marked tokens' own results: `at` [b, G] says where, `held` which are any."""
        real, watched = flow.pass_.visibility.real, flow.watched
        chosen = x.gather(1, at[..., None].expand(-1, -1, x.shape[-1])) * held[..., None].to(x.dtype)
        if not watched:
            chosen, x = chosen.flatten(0, 1), x.flatten(0, 1)
        q, k, v = (
            self._by_head(node, role, read, watched)
            for role, read in (("q_global", chosen), ("k_global", x), ("v_global", x))
        )
        q, k, v = (
            t.view(mixed.shape[0], -1, *t.shape[-2:]).transpose(1, 2) if not watched else t.transpose(1, 2)
            for t in (q, k, v)
        )  # [b, H, G or t, D]
        seen = Full() if real is None else Padding(real)
        query, key = (flow.pass_.range(0, t.shape[2]) for t in (q, k))
        found, weights = eager(q, k, v, Scores(seen, query, key, scale=self.spec.scale, dropout=rate))
        flow.pass_.keep("global_attentions", (weights * held[:, None, :, None]).transpose(2, 3))
        if recording():
            return torch.where(held[..., None, None], found.transpose(1, 2), mixed)
        rows, places = held.nonzero(as_tuple=True)
        own = found.transpose(1, 2)[rows, places]  # [marked, H, D]
        return mixed.index_put((rows, at[rows, places]), own)


def windowed_steps(s: spec.WindowsAndGlobal, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear("linear", s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendWindowed(s, width), out]
