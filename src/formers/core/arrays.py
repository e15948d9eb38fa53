"""Arrays of numbers: rows padded into one, and scores made probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=NDArray[Any])


def pad_to_array(rows: Sequence[Any], width: int, side: str, fill: int) -> NDArray[np.int64]:
    """Pad rows of whole numbers straight into an array [B, width] of int64; no row may be longer.

    Args:
        rows: lists of whole numbers.
        width: in entries.
        side: the side of the padding, "left" or "right".
        fill: the entry to pad with.
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    if lengths.size and (lengths == width).all():
        return flat.reshape(len(rows), width)
    places = np.arange(width)
    out = np.full((len(rows), width), fill, dtype=np.int64)
    # one masked assignment for the whole batch: no Python per row
    out[places < lengths[:, None] if side == "right" else places >= width - lengths[:, None]] = flat
    return out


def softmax(logits: A) -> A:
    """Probabilities over the last axis; large logits do not overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: A = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: A) -> A:
    """Probabilities of independent labels; large logits do not overflow."""
    small = np.exp(-np.abs(logits))  # the half that cannot overflow, mirrored
    scores: Any = np.where(logits >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
    return scores  # type: ignore[no-any-return]
