"""Sounds and their frames at one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from formers.tokenization.options import PaddingStrategy

Array = NDArray[Any]


class Lengths(NamedTuple):
    """How long each sound is made.

    Attributes:
        strategy: to the longest, to `limit`, or not at all.
        limit: steps; None where there is none.
        cuts: whether longer ones are cut to it.
        multiple: lengths are multiples of this.
        side: where padding stands, "right" or "left".
        value: of padding.
    """

    strategy: PaddingStrategy
    limit: int | None = None
    cuts: bool = False
    multiple: int | None = None
    side: str = "right"
    value: float = 0.0

    @classmethod
    def of(
        cls,
        padding: Any,
        max_length: int | None,
        truncation: Any,
        pad_to_multiple_of: int | None,
        side: str,
        value: float,
    ) -> Lengths:
        """Read the keywords of a call.

        Raises:
            ValueError: where they need a length that nobody gives.
        """
        strategy = PaddingStrategy.DO_NOT_PAD
        if padding is not False and padding is not None:
            strategy = PaddingStrategy.LONGEST if padding is True else PaddingStrategy(padding)
        if max_length is None and (truncation or strategy is PaddingStrategy.MAX_LENGTH):
            raise ValueError("padding='max_length' and truncation=True need max_length, in samples or frames")
        if side not in ("right", "left"):
            raise ValueError(f"padding_side is right or left, not {side!r}")
        return cls(strategy, max_length, bool(truncation), pad_to_multiple_of, side, value)

    def _whole(self, length: int) -> int:
        return -(-length // self.multiple) * self.multiple if self.multiple else length

    def cut(self, row: Any) -> Any:
        """A row, cut where it is too long."""
        return row[: self._whole(self.limit)] if self.cuts and self.limit is not None else row

    def wanted(self, rows: Sequence[Any]) -> list[int]:
        """The length that each of some rows gets."""
        if self.strategy is PaddingStrategy.DO_NOT_PAD:
            return [len(row) for row in rows]
        longest = max(map(len, rows)) if self.strategy is PaddingStrategy.LONGEST else (self.limit or 0)
        return [max(len(row), self._whole(longest)) for row in rows]


def _mask(length: int, ends: tuple[int, int]) -> Array:
    """Ones, and zeros at the ends; a sound of hours without padding has one 1, read again and again."""
    if not any(ends):
        return np.broadcast_to(np.int32(1), length)
    return np.pad(np.ones(length, np.int32), ends)


def padded(rows: Sequence[Array], how: Lengths) -> tuple[list[Array], list[Array]]:
    """Rows [T] or [T, F] at their lengths, and int32 masks [T] of what is real, to be read alone."""
    rows = [how.cut(row) for row in rows]
    found, masks = [], []
    for row, length in zip(rows, how.wanted(rows), strict=True):
        more = length - len(row)
        ends = (0, more) if how.side == "right" else (more, 0)
        masks.append(_mask(len(row), ends))
        rest = [(0, 0)] * (row.ndim - 1)
        found.append(np.pad(row, (ends, *rest), constant_values=how.value) if more else row)
    return found, masks


def standardised(rows: Sequence[Array], masks: Sequence[Array] | None, value: float) -> list[Array]:
    """Waves with mean 0 and variance 1, by what is real in them; padding is `value`.

    Without masks padding counts as sound.
    """
    found = []
    for place, row in enumerate(rows):
        real = row if masks is None else row[masks[place] == 1]
        made = (row - real.mean()) / np.sqrt(real.var() + 1e-7)
        if masks is not None:
            made[masks[place] == 0] = value
        found.append(made.astype(np.float32, copy=False))
    return found
