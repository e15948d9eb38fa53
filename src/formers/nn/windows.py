"""Attention of blocks of queries to the keys around them: memory grows with the length, not its square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.dropout import drop
from formers.nn.recording import recording

_SCORES = 1 << 19  # that are computed together
_LEAST = 32  # queries of a block: with fewer, there are too many products


@dataclass(frozen=True, eq=False)
class Aside:
    """Keys that every query sees beside those around it.

    Attributes:
        k: [B, H, G, D]; `v` likewise.
        seen: [B, G], bool; None where all are.
        bias: added to the scaled scores of a query, by its row: [H, rows, G].
        rows: [B, T], int64, of each query; None without a bias.
    """

    k: Tensor
    v: Tensor
    seen: Tensor | None = None
    bias: Tensor | None = None
    rows: Tensor | None = None


@dataclass(frozen=True)
class Around:
    """Which keys stand around a block of `size` queries: `margin` more on each side.

    Of those a query sees the ones at most `reach` places away, or all.
    """

    size: int
    margin: int = 0
    reach: int | None = None

    @classmethod
    def within(cls, reach: int) -> Around:
        """For windows of `reach` places on each side."""
        return cls(max(reach, _LEAST), reach, reach)

    def offsets(self, device: torch.device) -> Tensor:
        """How far behind its query each key of a block stands, [size, size + 2 * margin], int64."""
        keys = torch.arange(self.size + 2 * self.margin, device=device) - self.margin
        return keys - torch.arange(self.size, device=device)[:, None]


def around(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    where: Around,
    scale: float,
    real: Tensor | None = None,
    bias: Callable[[Tensor], Tensor] | None = None,
    aside: Aside | None = None,
    dropout: float = 0.0,
    shown: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of every query to the keys around its block, and to some beside those.

    The softmax runs in float32 at least. What a query that sees nothing gives is not defined.

    Args:
        q: [B, H, T, D].
        k: [B, H, T, D].
        v: [B, H, T, D].
        where: blocks and windows.
        scale: factor on the scores.
        real: [B, T], bool, keys that may be seen from around; None where all may.
        bias: offsets [size, keys] -> what is added to the scaled scores, [1, H, size, keys].
        aside: the keys beside those.
        dropout: probability of dropping a weight.
        shown: return weights too.

    Returns:
        Mixed values [B, H, T, D]; and None, or weights [B, H, blocks, size, G + keys of a block]: those of
        the keys beside, then those around.
    """
    batch, heads, length, _ = q.shape
    size, margin = where.size, where.margin
    width, count = size + 2 * margin, -(-length // size)
    more = count * size - length
    blocks = F.pad(q * scale, (0, 0, 0, more)).view(batch, heads, count, size, -1)
    k, v = (F.pad(t, (0, 0, margin, margin + more)) for t in (k, v))
    here = torch.ones(1, length, dtype=torch.bool, device=q.device) if real is None else real
    seen = F.pad(here, (margin, margin + more)).unfold(1, width, size)[
        :, None, :, None
    ]  # [B or 1, 1, .., 1, K]
    offsets = where.offsets(q.device)
    added = None if bias is None else bias(offsets)[:, :, None]  # [1, H, 1, size, K]
    if where.reach is not None:
        near = torch.zeros(1, 1, 1, size, width, dtype=q.dtype, device=q.device) if added is None else added
        added = near.masked_fill(offsets.abs() > where.reach, torch.finfo(q.dtype).min)
    step = max(1, _SCORES // (batch * heads * size * width))
    mixed, weights = [], []
    for start in range(0, count, step):
        stop = min(start + step, count)
        keys, values = (
            t[:, :, start * size : stop * size + 2 * margin].unfold(2, width, size) for t in (k, v)
        )
        logits = blocks[:, :, start:stop] @ keys  # [B, H, blocks, size, K]
        logits = logits if added is None else logits.add_(added)
        visible = seen[:, :, start:stop]
        if recording() or not bool(visible.all()):
            logits = logits.masked_fill_(~visible, torch.finfo(logits.dtype).min)
        if aside is not None:
            logits = torch.cat((_beside(blocks[:, :, start:stop], aside, start * size), logits), -1)
        made = logits.softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
        kept = drop(made, dropout) if dropout else made
        found = kept[..., -width:] @ values.transpose(-1, -2)
        if aside is not None:
            found = found + (kept[..., :-width].flatten(2, 3) @ aside.v).view(found.shape)
        mixed.append(found)
        if shown:
            weights.append(kept)
    whole = (torch.cat(parts, 2) if len(parts) > 1 else parts[0] for parts in (mixed, weights) if parts)
    out, *rest = whole
    return out.flatten(2, 3)[:, :, :length], rest[0] if rest else None


def _beside(q: Tensor, aside: Aside, start: int) -> Tensor:
    """Scores of the keys aside, for queries [B, H, blocks, size, D] from place `start` on: [.., G]."""
    flat = q.flatten(2, 3)
    scores = flat @ aside.k.transpose(-1, -2)  # [B, H, t, G]
    if aside.bias is not None and aside.rows is not None:
        rows = aside.rows[:, start : start + flat.shape[2]]
        rows = F.pad(rows, (0, flat.shape[2] - rows.shape[1]))
        scores = scores + aside.bias[:, rows].transpose(0, 1)
    if aside.seen is not None:
        scores = scores.masked_fill(~aside.seen[:, None, None], torch.finfo(scores.dtype).min)
    return scores.view(*q.shape[:4], -1)


def banded(weights: Tensor, where: Around, length: int) -> Tensor:
    """Weights that `around` shows as every query's own window: [B, H, length, G + 2 * reach + 1]."""
    assert where.reach is not None
    weights = weights.flatten(2, 3)[:, :, :length]
    beside = weights.shape[-1] - where.size - 2 * where.margin
    first = torch.arange(length, device=weights.device) % where.size + where.margin - where.reach
    own = first[:, None] + torch.arange(2 * where.reach + 1, device=weights.device)  # [T, 2 * reach + 1]
    near = weights[..., beside:].gather(-1, own.expand(*weights.shape[:2], -1, -1))
    return torch.cat((weights[..., :beside], near), -1)
