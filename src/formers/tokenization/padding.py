"""Rows of unequal length, brought to one."""

from __future__ import annotations

from typing import Any


def pad_rows(rows: list[Any], width: int, side: str, fill: Any) -> list[Any]:
    """Pad lists to `width` entries with `fill`; longer ones stay as they are.

    Args:
        rows: lists of any entries.
        width: in entries.
        side: "left" or "right".
        fill: the entry to pad with.
    """
    if side == "right":
        return [row + [fill] * (width - len(row)) for row in rows]
    return [[fill] * (width - len(row)) + row for row in rows]
