"""Attention of every block to itself. Roles are those of attention; see `spec.BlockLocal`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores, eager
from formers.nn.interface import without_own
from formers.nn.leaves import linear
from formers.nn.masks import Chunk, Full, Mask, Padding
from formers.nn.mixers.windows_and_global import AttendNear
from formers.nn.program import Flow, Step
from formers.nn.recording import recording
from formers.nn.steps import Project


class AttendBlocked(AttendNear):
    """What the heads read and mix, before the output projection. Blocks are rows of one call."""

    spec: spec.BlockLocal

    def _mixed(
        self, node: Any, flow: Flow, x: Tensor, q: Tensor, k: Tensor, v: Tensor, marked: Tensor | None
    ) -> Tensor:
        """One run of sequences of `x` [b, t, E]; `q`, `k`, `v` are [b, t, H, D], as is what is returned."""
        size, length, seen = min(self.spec.size, x.shape[1]), x.shape[1], flow.pass_.visibility.real
        whole, least = length // size * size, None  # the columns of full blocks; what blank ones' scores are
        if seen is not None:
            blank = torch.cat([_blank(seen[:, :whole], size), _blank(seen[:, whole:], length - whole)], dim=1)
            if recording() or bool(blank.any()):
                # no difference of scores is left beside it: all weigh the same
                least = torch.zeros_like(blank, dtype=q.dtype).masked_fill(blank, torch.finfo(q.dtype).min)
            seen = seen | blank
        if size < length and "attentions" in flow.pass_.trace:  # as one table of weights
            return self._attended(node, flow, (q, k, v), seen, least, Chunk(size))
        found = []
        for columns, width in ((slice(0, whole), size), (slice(whole, length), length - whole)):
            if not width:
                continue
            qkv = tuple(_rows(t[:, columns], width) for t in (q, k, v))
            real, low = (None if t is None else _rows(t[:, columns], width) for t in (seen, least))
            mixed = self._attended(node, flow, qkv, real, low, Full())  # [b * n, width, H, D]
            found.append(mixed.reshape(x.shape[0], -1, *mixed.shape[2:]))
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def _attended(
        self,
        node: Any,
        flow: Flow,
        qkv: tuple[Tensor, ...],
        seen: Tensor | None,
        least: Tensor | None,
        mask: Mask,
    ) -> Tensor:
        """[b, t, H, D] of such queries, keys, values; `seen` keys and `least` scores of queries, [b, t]."""
        q, k, v = (t.transpose(1, 2) for t in qkv)
        at = flow.pass_.range(0, q.shape[2])
        scores = Scores(
            mask if seen is None else mask & Padding(seen),
            at,
            at,
            bias=None if least is None else least[:, None, :, None],
            scale=self.spec.scale,
        )
        # fused kernels' gradients are wrong for scores so small
        own = flow
        if least is not None:
            without_own(flow.pass_.backend, "attention of blocks to tokens that are all hidden")
            own = replace(flow, pass_=replace(flow.pass_, backend=eager))
        mixed = self._mix(node, own, q, k, v, scores, "attentions").transpose(1, 2)
        flow.weights = own.weights
        return mixed


def _rows(x: Tensor, width: int) -> Tensor:
    """Blocks as rows of their own: [b, n * width, ..] -> [b * n, width, ..]."""
    return x.reshape(-1, width, *x.shape[2:])


def _blank(real: Tensor, size: int) -> Tensor:
    """Which columns [b, n * size] stand in blocks that hold nothing."""
    if not size:
        return real
    return (~_rows(real, size).any(1, keepdim=True)).expand(-1, size).reshape(real.shape)


def blocked_steps(s: spec.BlockLocal, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear("linear", s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendBlocked(s, width), out]
