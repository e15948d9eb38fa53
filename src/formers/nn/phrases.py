"""Phrases of a text, such as "a cat. a remote control.", which do not see each other.

Liu et al. 2023, arXiv:2303.05499, section 3.4. A phrase ends with the mark behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(eq=False)
class Words:
    """Which tokens name what, for the losses of objects.

    Attributes:
        names: for each picture [n, W], float: 1 at the tokens of each of its n phrases.
        real: [B, W], bool, which tokens are no padding.
    """

    names: Sequence[Tensor]
    real: Tensor


def phrases(ids: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens see each other, and where each stands in its phrase.

    What stands behind the last mark, or ends with a mark at either end of the row, sees itself alone.

    Args:
        ids: [B, T], int64.
        marks: [M], int64, ids of what stands between phrases.

    Returns:
        [B, T, T], bool; and [B, T], int64: how far behind the last mark, 0 where nothing else is seen.
    """
    ends = torch.isin(ids, marks)
    length, at = ids.shape[1], torch.arange(ids.shape[1], device=ids.device)
    closed = torch.where(ends, at, length).flip(1).cummin(1).values.flip(1)  # [B, T], the mark behind a token
    inside = (closed > 0) & (closed < length - 1)
    alike = (closed[:, :, None] == closed[:, None]) & inside[:, None]
    before = torch.where(ends, at, -1).cummax(1).values.roll(1, 1)
    before[:, 0] = -1
    return alike | (at[:, None] == at), torch.where(inside, at - before - 1, 0)


def named(ids: Tensor, marks: Tensor, width: int) -> list[Tensor]:
    """The tokens of each phrase, in order: for each row [n, width], float.

    Args:
        ids: [B, T], int64, T at most the width.
        marks: [M], int64, ids of what is part of no phrase, padding too.
        width: W.
    """
    ends = torch.isin(ids, marks)
    groups = ends.cumsum(1).masked_fill(ends, -1)
    groups = torch.nn.functional.pad(groups, (0, width - ids.shape[1]), value=-1)
    return [(group == group[group >= 0].unique()[:, None]).float() for group in groups]
