"""Batches by tokens, not by count: plan them, stream them, and put the results back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
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
    _check_limits(max_tokens, max_items)
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


def stream(
    items: Iterable[T],
    length: Callable[[T], int],
    *,
    max_tokens: int,
    window: int = 1024,
    max_items: int | None = None,
) -> Iterator[tuple[list[int], list[T]]]:
    """Plan batches over an iterator, looking `window` items ahead.

    Never more than `window` items are held. Nothing is read before the first batch is asked for.

    Args:
        items: the items, read once.
        length: number of real tokens of an item.
        max_tokens: the budget of a batch (see `plan`).
        window: how many items are read before their batches are planned.
        max_items: at most this many items in a batch.

    Yields:
        Positions of the items in the stream, and the items. `in_order` puts results back.
    """
    _check_limits(max_tokens, max_items)
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    source = iter(items)
    start = 0
    while ahead := list(islice(source, window)):
        for batch in plan([length(item) for item in ahead], max_tokens=max_tokens, max_items=max_items):
            yield [start + index for index in batch], [ahead[index] for index in batch]
        start += len(ahead)


def in_order(results: Iterable[tuple[Sequence[int], Sequence[R]]]) -> Iterator[R]:
    """Yield the results of `stream`ed batches in stream order, each as soon as those before it are there.

    Args:
        results: positions and results of each batch, in the order in which the batches were finished.
    """
    waiting: dict[int, R] = {}
    expected = 0
    for places, values in results:
        waiting.update(zip(places, values, strict=True))
        while expected in waiting:
            yield waiting.pop(expected)
            expected += 1
    if waiting:
        raise ValueError(f"the result of item {expected} never came")


def _check_limits(max_tokens: int, max_items: int | None) -> None:
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    if max_items is not None and max_items < 1:
        raise ValueError(f"max_items must be at least 1, got {max_items}")
