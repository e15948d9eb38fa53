"""Attention whose queries may stand farther apart than its keys. Roles: see `spec.Pooled`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.fresh import Uniform
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.masks import Full
from formers.nn.mixers.attention import Attend
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf

_HIDDEN = -1e6


@dataclass(eq=False)
class Places:
    """Places of every row, evenly spaced.

    Attributes:
        count: T.
        first: where the first one stands; `step` from one to the next.
        types: their segments, [B, T]; None where all are of one.
        real: [B, T], bool, which of them count; None where all do.
    """

    count: int
    first: int = 0
    step: int = 1
    types: Tensor | None = None
    real: Tensor | None = None


@dataclass(eq=False)
class Reach:
    """What the layers of a pass share.

    Attributes:
        query: the places that ask; `key` those that are seen.
        waves: of distances, [R, E], the first of which stand before the row (see `distances`); or sines,
            then cosines, of the places that ask [T, E] and of those that are seen [S, E].
        keys: what keys and values are made of, shaped as what asks is; None for the same.
    """

    query: Places
    key: Places
    waves: Tensor | tuple[Tensor, Tensor]
    keys: Tensor | None = None


def distances(query: Places, key: Places) -> range:
    """Distances such that the place i is at the one numbered (T - i) * n + j from j, n keys to a query."""
    ahead = query.step // key.step * query.count
    start = query.first - key.first + ahead * key.step
    return range(start, start - key.step * (ahead + key.count), -key.step)


class AttendPooled(Attend):
    """Project, attend; what is projected back follows."""

    spec: spec.Pooled

    def _make_projections(self, width: int) -> None:
        s, each = self.spec, (self.spec.heads.query, self.spec.heads.width)
        inner = each[0] * each[1]
        self.leaves["q"] = lambda: linear("linear", width, inner, bias=False)
        for role in "kv":
            self.leaves[role] = lambda: linear("linear", width, inner)
        biases = dict.fromkeys(("content_bias", "distance_bias", "segment_bias"), each)
        for role, shape in {"r": (width, *each), **biases, "segment": (2, *each)}.items():
            self.leaves[role] = partial(_fresh, shape, s.bound)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., H * D].

        Raises:
            ValueError: for a layer that is called by itself.
        """
        pass_, x, heads = flow.pass_, flow.x, self.spec.heads.query
        reach: Reach | None = pass_.memo.get("reach")
        if reach is None:
            raise ValueError("this attention reads where its places stand: call the model, not a part")
        read = x if reach.keys is None else reach.keys
        q, k, v = (
            project(leaf(node, role), rows, None, flow.watched)
            .view(pass_.layout.batch, -1, heads, self.spec.heads.width)
            .transpose(1, 2)
            for role, rows in (("q", x), ("k", read), ("v", read))
        )  # [B, H, T or S, D]
        at = pass_.range(0, q.shape[2]), pass_.range(0, k.shape[2])
        bias = self._beside(node, flow, q, reach)
        q = q + leaf(node, "content_bias")[:, None]
        mixed = self._mix(node, flow, q, k, v, Scores(Full(), *at, bias=bias), "attentions")
        flow.x = mixed.transpose(1, 2).reshape(*x.shape[:-1], -1)

    def _beside(self, node: Any, flow: Flow, q: Tensor, reach: Reach) -> Tensor:
        """What distances, segments and padding add to the scores of queries [B, H, T, D]: [B, H, T, S]."""
        s, memo = self.spec, flow.pass_.memo
        found = self._far(node, q, reach)
        if reach.query.types is None:
            kinds = leaf(node, "segment")[1:]
            found = found + (q + leaf(node, "segment_bias")[:, None]) @ kinds.permute(1, 2, 0)
        else:
            kinds = (q + leaf(node, "segment_bias")[:, None]) @ leaf(node, "segment").permute(1, 2, 0)
            same = memo.once("same", lambda: _same(reach.query.types, reach.key.types, s.common))
            found = found + torch.where(same, kinds[..., 1:], kinds[..., :1])
        found = found * memo.once("scale", lambda: self._scale(q, reach))
        if reach.key.real is None:
            return found
        return found + memo.once("hidden", lambda: _hidden(reach.key.real, found))

    def _far(self, node: Any, q: Tensor, reach: Reach) -> Tensor:
        """[B, H, T, D] -> [B, H, T, S]."""
        q, kernel = q + leaf(node, "distance_bias")[:, None], leaf(node, "r")  # [E, H, D]
        if isinstance(reach.waves, tuple):
            asks, seen = reach.waves
            back, ahead = (q @ kernel.permute(1, 2, 0)).chunk(2, dim=-1)  # [B, H, T, E / 2] each
            sin, cos = asks.chunk(2, dim=-1)
            both = torch.cat((ahead * sin - back * cos, back * sin + ahead * cos), dim=-1)
            return both @ seen.t()
        rows = F.linear(reach.waves, kernel.flatten(1).t()).view(-1, *kernel.shape[1:])  # [R, H, D]
        far = q @ rows.permute(1, 2, 0)  # [B, H, T, R]
        # a row lies as many entries further left than the one before it as there are keys to a place
        before = far.shape[-1] - reach.key.count
        return far.flatten(2)[..., before:].view(*far.shape[:3], -1)[..., : reach.key.count]

    def _scale(self, q: Tensor, reach: Reach) -> Tensor:
        """[T, S]: that of the scores, and 0 for the first place and for the others' distance from it."""
        scale = q.shape[-1] ** -0.5
        made = q.new_full((reach.query.count, reach.key.count), scale)
        if self.spec.lone:
            made[0] = made[:, 0] = 0.0
        return made


def _same(query: Tensor | None, key: Tensor | None, common: int) -> Tensor:
    """[B, T] and [B, S] -> [B, 1, T, S], bool."""
    assert query is not None
    assert key is not None
    a, b = query[:, :, None], key[:, None]
    return ((a == b) | (a == common) | (b == common))[:, None]


def _hidden(real: Tensor | None, like: Tensor) -> Tensor:
    """[B, S] -> [B, 1, 1, S]; a row of padding alone, as pooling can leave it, hides nothing."""
    assert real is not None
    floor = max(_HIDDEN, torch.finfo(like.dtype).min / 2)
    hidden = ~real & real.any(-1, keepdim=True)
    return torch.zeros(real.shape, dtype=like.dtype, device=like.device).masked_fill(hidden, floor)[
        :, None, None
    ]


def _fresh(shape: tuple[int, ...], bound: float) -> Bare:
    return Bare(torch.zeros(shape), Uniform(bound, least=0.0))


def pooled_steps(s: spec.Pooled, width: int) -> list[Step]:
    """Attend, project back."""
    return [
        AttendPooled(s, width),
        Project("o", lambda: linear("linear", s.heads.query * s.heads.width, width)),
    ]
