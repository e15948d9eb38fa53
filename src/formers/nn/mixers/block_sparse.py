"""Attention of blocks to those beside them, to two that see all, and to some at random.

Roles: those of attention.
"""

from __future__ import annotations

from functools import lru_cache
from math import log1p
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from formers.core.notices import notice
from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.interface import without_own
from formers.nn.leaves import linear
from formers.nn.masks import Full
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.recording import by_sizes
from formers.nn.steps import Project

_PUBLISHED = (1024, 3072, 4096)  # rows of so many columns have the paper's own plan,
_REACH = 1024  # which draws from that many columns


class AttendBlockSparse(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.BlockSparse

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        s, pass_, length = self.spec, flow.pass_, q.shape[2]
        if torch.compiler.is_exporting():  # a graph would do in all rows what it did in those of the example
            raise NotImplementedError(
                f"rows of more than {s.least} tokens attend by blocks, shorter ones to all, and a graph does "
                "one of both: load the model with attention_type='original_full', which attends to all"
            )
        if length <= s.least:
            notice(
                f"rows of at most {s.least} tokens are too short for blocks of {s.block}: there every token "
                "sees all",
                key="every token of a short row sees all",
            )
            return super()._attend(node, flow, q, k, v, query, key)
        ends = -(-length // s.block) * s.block - s.block  # where the last block begins
        drawn, real = node.training and s.random > 0, pass_.visibility.real
        outer = torch.cat((query[: s.block], query[ends:]))
        scores = Scores(pass_.visibility.mask(Full()), outer, key, scale=s.scale)
        backend = without_own(pass_.backend, "attention by blocks")
        whole, whole_weights = backend(q[:, :, outer], k, v, scores)
        place = by_sizes("blocks", s, length, flow.index if drawn else None)
        index, bias = pass_.memo.once(place, lambda: self._seen(flow, q, drawn))
        inner = q[:, :, s.block : ends].reshape(
            q.shape[0], -1, s.block, q.shape[3]
        )  # [B, H * blocks, block, D]
        k, v = (self._gathered(t, index, ends) for t in (k, v))
        at = pass_.range(0, s.block), pass_.range(0, k.shape[2])
        mixed, weights = backend(inner, k, v, Scores(Full(), *at, bias=bias, scale=s.scale))
        mixed = torch.cat(
            (whole[:, :, : s.block], mixed.view_as(q[:, :, s.block : ends]), whole[:, :, s.block :]), 2
        )
        if "attentions" in pass_.trace and weights is not None and whole_weights is not None:
            flow.weights = self._told(whole_weights, weights, index, drawn)
            pass_.keep("attentions", flow.weights)
        return mixed if real is None else mixed.masked_fill(~real[:, None, :, None], 0.0)

    def _seen(self, flow: Flow, q: Tensor, drawn: bool) -> tuple[Tensor, Tensor]:
        """Which blocks each sees but the first and the last: [H or 1, blocks - 2, seen], and a bias.

        That hides padding and what is seen twice, and lets the first block stand for others:
        [B or 1, H * (blocks - 2), 1, seen * block].
        """
        s, (_, heads, length, _) = self.spec, q.shape
        count, real = -(-length // s.block), flow.pass_.visibility.real
        at = torch.arange(1, count - 1, device=q.device)
        index = torch.stack((at * 0, at - 1, at, at + 1, at * 0 + count - 1), -1)[None]
        bias = q.new_zeros(1, 1, count - 2, index.shape[-1] + s.random * drawn, 1)
        hidden = torch.finfo(q.dtype).min
        bias[:, :, 0, 1] = bias[:, :, -1, 3] = hidden  # the first and the last stand there too
        if drawn:
            chosen = plan(s.block, s.random, s.longest, flow.index, heads, count).to(q.device)
            index = torch.cat((index.expand(heads, -1, -1), chosen), -1)
        else:
            bias[:, :, :, 0] = log1p(s.random)
        if real is None and length % s.block:
            real = torch.ones(1, length, dtype=torch.bool, device=q.device)
        bias = bias.expand(-1, -1, -1, -1, s.block)
        if real is not None:
            real = nn.functional.pad(real, (0, count * s.block - length)).view(-1, count, s.block)
            bias = bias.masked_fill(~real[:, index], hidden)
        bias = bias.expand(-1, heads, -1, -1, -1)
        return index, bias.reshape(bias.shape[0], -1, 1, bias.shape[3] * s.block)

    def _gathered(self, x: Tensor, index: Tensor, ends: int) -> Tensor:
        """Keys or values [B, H, T, D] as the blocks see them: [B, H * (blocks - 2), seen * block, D]."""
        size, (batch, heads, length, width) = self.spec.block, x.shape
        blocks = nn.functional.pad(x, (0, 0, 0, ends + size - length)).reshape(-1, size * width)
        first = torch.arange(batch * heads, device=x.device).view(batch, heads, 1, 1) * (ends // size + 1)
        found = blocks.index_select(0, (first + index).flatten())
        return found.view(batch, heads * index.shape[1], -1, width)

    def _told(self, whole: Tensor, weights: Tensor, index: Tensor, drawn: bool) -> Tensor:
        """Weights of both kinds of blocks as [B, H, T, T]; what is seen several times is told once."""
        size, (batch, heads, _, length) = self.spec.block, whole.shape
        rows, seen = index.shape[1:]
        weights = weights.view(batch, heads, rows, size, seen, size)
        if not drawn:
            share = weights.new_ones(seen, 1)
            share[0] = 1 / (1 + self.spec.random)
            weights = weights * share
        at = index[None, :, :, None, :, None].expand_as(weights)
        inner = weights.new_zeros(*weights.shape[:4], rows + 2, size)
        inner = inner.scatter_reduce(4, at, weights, "amax").view(batch, heads, rows * size, -1)
        return torch.cat((whole[:, :, :size], inner[..., :length], whole[:, :, size:]), 2)


def plan(block: int, random: int, longest: int, seed: int, heads: int, count: int) -> Tensor:
    """The blocks that each of `count` sees at random, but the first and the last: [H, count - 2, random].

    The ecosystem's models are trained on these draws of numpy's.

    Raises:
        ValueError: where the published plan has too few blocks to draw from.
    """
    return _plan(block, random, longest, seed, heads, count)


# what `torch.compiler.assume_constant_result` says, which imports the compiler to say it
vars(plan)["_dynamo_marked_constant"] = True


@lru_cache(maxsize=128)
def _plan(block: int, random: int, longest: int, seed: int, heads: int, count: int) -> Tensor:
    draw, found = np.random.RandomState(seed), np.zeros((heads, count - 2, random), dtype=np.int64)
    if count * block in _PUBLISHED:
        for head in range(heads):
            for row, near in enumerate(_published(block, longest)):
                chosen = draw.permutation(near)[:random]
                if row < count - 2 and len(chosen) < random:
                    raise ValueError(
                        f"in training {random} blocks of the first {_REACH} tokens are seen at random, but "
                        f"there are not as many: choose a smaller block_size than {block}"
                    )
                if row < count - 2:
                    found[head, row] = chosen
        return torch.from_numpy(found)
    pool = 5 + 2 * random
    for row in range(1, count - 1):
        barred = {0, row - 1, row, row + 1, pool - 1}
        barred |= {pool - 2} if row == 1 else {1} if row == pool - 2 else set()
        for head in range(heads):
            order = draw.permutation(pool)
            found[head, row - 1] = [at for at in order if at not in barred][:random]
    return torch.from_numpy(found)


def _published(block: int, longest: int) -> list[np.ndarray[Any, Any]]:
    """What the paper's plan draws from for every block of the longest row, but the first and the last."""
    count, each = longest // block, []
    last = min(_REACH // block - 1 if 2 * block < _REACH else count - 1, count - 2)
    for row in range(1, count - 1):
        apart = row < count - 3 and row - 2 <= last  # the others may draw what they see already
        before, behind = range(1, row - 1 if row > 2 else 1), range(row + 2, last + 1)
        each.append(np.array([*before, *behind] if apart or row < 3 else range(1, last + 1)))
    return each


def block_sparse_steps(s: spec.BlockSparse, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendBlockSparse(s, width), out]
