"""Attention to tokens nearby, and to sums of blocks. Roles: see `spec.Local`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.attend import Unsupported
from formers.nn.interface import without_own
from formers.nn.leaves import linear, norm
from formers.nn.mixers.windows_and_global import AttendNear
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import has, leaf
from formers.nn.windows import Around, Aside, around


class AttendLocal(AttendNear):
    """What the heads read and mix, before the output projection."""

    spec: spec.Local

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        s = self.spec
        if s.block:
            self.leaves["sum_norm"] = lambda: norm(s.norm, width)
            if s.owns_score_bias:
                self.leaves["sum_bias"] = lambda: nn.Embedding(s.buckets.count, s.heads.query)

    def _mixed(
        self, node: Any, flow: Flow, x: Tensor, q: Tensor, k: Tensor, v: Tensor, marked: Tensor | None
    ) -> Tensor:
        """One run of sequences of `x` [b, t, E]; `q`, `k`, `v` are [b, t, H, D], as is what is returned."""
        s, pass_ = self.spec, flow.pass_
        real, shown = pass_.visibility.real, "attentions" in pass_.trace
        size = s.reach + 1  # of a block; around it stands one on each side
        alone = x.shape[1] <= size and not (flow.watched or shown)  # every token sees all
        where = Around(x.shape[1]) if alone else Around(size, size, s.reach)
        near = self._distances(node, pass_, "score_bias", where.offsets(x.device))
        aside = self._sums(node, flow, x, real) if s.block else None
        rate = s.dropout if node.training else 0.0
        without_own(pass_.backend, "attention to what is near")
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        scale = q.shape[-1] ** -0.5 if s.scale is None else s.scale
        mixed, weights = around(q, k, v, where, scale, real, lambda _: near[None], aside, rate, shown)
        if weights is not None:
            width = where.size + 2 * where.margin
            weights = torch.cat((weights[..., -width:], weights[..., :-width]), -1).transpose(1, 2)
            flow.weights = weights  # [b, blocks, H, size, keys of a block + G]
            pass_.keep("attentions", weights)
        return mixed.transpose(1, 2)

    def _distances(self, node: Any, pass_: Pass, role: str, offsets: Tensor) -> Tensor:
        """What the table of the first layer holds for offsets [..]: [H, ..]."""
        rule, place = self.spec.buckets, (self.spec.buckets, role, offsets.shape)
        if has(node, role):
            made = leaf(node, role)(rule.of(offsets))
            pass_.memo.put(place, made.movedim(-1, 0).contiguous())
        found: Tensor | None = pass_.memo.get(place)
        if found is None:
            raise Unsupported("this layer reads the table of distances of another layer, which has not run")
        return found

    def _sums(self, node: Any, flow: Flow, x: Tensor, real: Tensor | None) -> Aside | None:
        """What stands for each whole block of columns: its tokens' sum, normed; [b, t, E] -> keys beside.

        Tokens behind the last whole block belong to that.
        """
        s, (batch, length, width) = self.spec, x.shape
        count = length // s.block
        if not count:
            return None
        at = torch.arange(length, device=x.device)
        block = (at // s.block).expand(batch, -1)
        ends = (at % s.block == s.block - 1).expand(batch, -1)
        if real is not None:
            block, ends = block.masked_fill(~real, -1), ends & real
        block = torch.minimum(block, ends.sum(1, keepdim=True) - 1)  # [b, t]; -1 for none
        first = torch.arange(batch, device=x.device)[:, None] * (count + 1)
        place = torch.where(block < 0, count, block) + first
        sums = x.new_zeros(batch * (count + 1), width).index_add(0, place.flatten(), x.flatten(0, 1))
        sums = leaf(node, "sum_norm")(sums.view(batch, count + 1, width)[:, :count])  # [b, G, E]
        read = sums if flow.watched else sums.flatten(0, 1)
        k, v = (
            self._by_head(node, role, read, flow.watched)
            .view(batch, count, s.heads.query, s.heads.width)
            .transpose(1, 2)
            for role in ("k", "v")
        )
        numbers = torch.arange(count, device=x.device)
        seen, rows = numbers <= block.amax(1, keepdim=True), block.clamp(min=0)
        if flow.watched:  # whoever looks sees the distances of every token
            offsets, rows = numbers - block[..., None], torch.arange(batch * length, device=x.device)
            bias = self._distances(node, flow.pass_, "sum_bias", offsets)
            return Aside(k, v, seen, bias.flatten(1, 2), rows.view(batch, length))
        bias = self._distances(node, flow.pass_, "sum_bias", numbers - numbers[:, None])
        return Aside(k, v, seen, bias, rows)


def local_steps(s: spec.Local, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear("linear", s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendLocal(s, width), out]
