"""Batches by tokens, not by count: plan them, and put the results back in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

R = TypeVar("R")


def plan(lengths: Sequence[int], *, max_tokens: int, max_items: int | None = None) -> list[list[int]]:
    """Group items so that each batch holds at most `max_tokens` real tokens.

    Items of like length end up together, and the longest come first, so that memory peaks at once and
    not at the end of a long run.

    Args:
        lengths: number of real tokens of each item.
        max_tokens: the budget of a batch, as a sum of lengths. An item above it gets a batch of its own.
        max_items: at most this many items in a batch.

    Returns:
        One list of indices into `lengths` for each batch; every index occurs exactly once. Items of equal
        length keep their order.

    Raises:
        ValueError: when the budget or the item limit is below one.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    if max_items is not None and max_items < 1:
        raise ValueError(f"max_items must be at least 1, got {max_items}")
    batches: list[list[int]] = []
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[index]
        if batch and (tokens + length > max_tokens or len(batch) == max_items):
            batches.append(batch)
            batch, tokens = [], 0
        batch.append(index)
        tokens += length
    if batch:
        batches.append(batch)
    return batches


def restore(order: Iterable[int] | Iterable[Sequence[int]], results: Iterable[R]) -> list[R]:
    """Put `results` back where their items were.

    Args:
        order: the index of each result, flat or as the batches that `plan` returned.
        results: one result for each index, in the same order.

    Raises:
        ValueError: when the two differ in length or an index is repeated or missing.
    """
    flat: list[int] = []
    for entry in order:
        if isinstance(entry, Sequence):
            flat.extend(entry)
        else:
            flat.append(entry)
    values = list(results)
    if len(flat) != len(values):
        raise ValueError(f"{len(values)} results for {len(flat)} places")
    placed = dict(zip(flat, values, strict=True))
    if len(placed) != len(flat) or any(index not in placed for index in range(len(flat))):
        raise ValueError("the order must name each place from 0 to n - 1 exactly once")
    return [placed[index] for index in range(len(flat))]
