"""Positions of texts with pictures: words count on, pictures stand in time, rows and columns (M-RoPE).

Wang et al. 2024, arXiv:2409.12191, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shown:
    """A picture or a film as a text sees it.

    Attributes:
        frames, rows, columns: tokens along each axis.
        step: positions from one frame to the next.
    """

    frames: int
    rows: int
    columns: int
    step: float = 1.0

    @property
    def count(self) -> int:
        """Its tokens."""
        return self.frames * self.rows * self.columns

    def positions(self, first: int, device: torch.device) -> Tensor:
        """[3, tokens], int64, where a picture begins at `first`."""
        time = (torch.arange(self.frames, device=device) * self.step).long()
        sides = (torch.arange(size, device=device) for size in (self.rows, self.columns))
        return torch.stack([axis.flatten() for axis in torch.meshgrid(time, *sides, indexing="ij")]) + first


def grid_positions(kinds: Tensor, shown: Mapping[int, Sequence[Shown]], real: Tensor | None = None) -> Tensor:
    """Positions of every token on each axis.

    Args:
        kinds: [B, T], int64, 0 for words, else the key of what is shown, in the order of the rows.
        shown: what is shown, by kind.
        real: [B, T], bool, which tokens there are; others get 0.

    Returns:
        [3, B, T], int64.

    Raises:
        ValueError: where a text has more or fewer tokens for something than it takes.
    """
    found = kinds.new_zeros(3, *kinds.shape)
    rest = {kind: iter(each) for kind, each in shown.items()}
    for place, row in enumerate(kinds):
        there = slice(None) if real is None else real[place].bool()
        found[:, place, there] = _of_row(row[there].tolist(), rest, kinds.device)
    left = [kind for kind, each in rest.items() if next(each, None) is not None]
    if left:
        raise ValueError("more pictures are given than the texts have tokens for")
    return found


def _of_row(row: list[int], rest: Mapping[int, Iterator[Shown]], device: torch.device) -> Tensor:
    parts, at, first = [], 0, 0
    while at < len(row):
        kind = row[at]
        if not kind:
            end = next((i for i in range(at, len(row)) if row[i]), len(row))
            parts.append(torch.arange(first, first + end - at, device=device).expand(3, -1))
            first += end - at
        else:
            one = next(rest[kind], None) if kind in rest else None
            end = at + (one.count if one is not None else 1)
            if one is None or row[at:end] != [kind] * one.count:
                raise ValueError(
                    f"a text has tokens for pictures at {at}, "
                    + ("but no more are given" if one is None else f"but not the {one.count} that one fills")
                )
            parts.append(one.positions(first, device))
            first += max(one.rows, one.columns)
        at = end
    return torch.cat(parts, dim=1)
