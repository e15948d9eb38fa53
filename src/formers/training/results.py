"""Nests of tensors, and the rows that an evaluation collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formers.core.jsonfile import plain
from formers.core.notices import notice
from formers.training.losses import IGNORED


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor as an array in main memory; bfloat16, which NumPy lacks, as float32."""
    if isinstance(tensor, Tensor):
        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        return tensor.cpu().numpy()  # type: ignore[no-any-return]
    return np.asarray(tensor)


def plain_numbers(logs: Mapping[Any, Any]) -> dict[str, Any]:
    """Named numbers as JSON holds them: names as text, those of torch and NumPy plain, also inside nests."""
    return {str(name): plain(value, partial(_number, name)) for name, value in logs.items()}


def made_plain(logs: dict[Any, Any]) -> dict[str, Any]:
    """`plain_numbers`, in place; returns the same dict."""
    numbers = plain_numbers(logs)
    logs.clear()
    logs.update(numbers)
    return logs


def _number(name: Any, value: Any) -> Any:
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        array = to_numpy(value)
        return array.item() if array.size == 1 else array.tolist()
    notice(f"{name!r} is logged as a {type(value).__name__}, which is no number: files hold its text.")
    return value


def nested_map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply `function` to every tensor of a nest of tuples, lists and mappings; None stays."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: nested_map(function, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(nested_map(function, entry) for entry in value)
    return function(value)


def to_device(data: Any, device: torch.device, non_blocking: bool = False) -> Any:
    """The nest with its tensors on `device`."""

    def move(value: Any) -> Any:
        away = isinstance(value, Tensor) and value.device != device
        return value.to(device, non_blocking=non_blocking) if away else value

    return nested_map(move, data)


class Rows:
    """Rows of results, put at their places as they come; one array that grows only where it must.

    Rows of different widths share an array as wide as the widest, padded with -100.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.count = 0
        self._array: np.ndarray | None = None
        self._parts: dict[Any, Rows] | None = None
        self._kind: type | None = None

    def put(self, places: Sequence[int], value: Any) -> None:
        """Store one batch of a nest of arrays, row i at `places[i]`."""
        if value is None:
            return
        if isinstance(value, (list, tuple, Mapping)):
            entries = value.items() if isinstance(value, Mapping) else enumerate(value)
            self._kind = type(value)
            if self._parts is None:
                self._parts = {}
            for key, entry in entries:
                self._parts.setdefault(key, Rows(self.total)).put(places, entry)
            return
        rows = to_numpy(value)
        if rows.ndim == 0:
            rows = np.repeat(rows[None], len(places), axis=0)
        if len(rows) != len(places):
            raise ValueError(
                f"an output of shape {list(rows.shape)} came with a batch of {len(places)} rows: predictions "
                "have one row for each example; leave it out with ignore_keys=[its name], or in "
                "preprocess_logits_for_metrics"
            )
        array = self._room(rows, max(places) + 1 if len(places) else 0)
        spot: Any = (np.asarray(places), *(slice(0, size) for size in rows.shape[1:]))
        array[spot] = rows
        self.count = max(self.count, max(places) + 1 if len(places) else 0)

    def _room(self, rows: np.ndarray, needed: int) -> np.ndarray:
        old = self._array
        height = max(self.total or 0, needed)
        if old is not None and old.ndim == rows.ndim:
            widths = tuple(max(a, b) for a, b in zip(old.shape[1:], rows.shape[1:], strict=True))
            if widths == old.shape[1:] and height <= old.shape[0]:
                return old
            height = max(height, old.shape[0] * 2 if needed > old.shape[0] else old.shape[0])
        else:
            widths = rows.shape[1:]
        # pages of a fresh array are only touched where rows are put, so unequal widths alone cost a fill
        fill = IGNORED if np.issubdtype(rows.dtype, np.number) else 0
        self._array = np.full((height, *widths), fill, dtype=rows.dtype)
        if old is not None and old.ndim == rows.ndim:
            self._array[(slice(0, old.shape[0]), *(slice(0, size) for size in old.shape[1:]))] = old
        return self._array

    def result(self) -> Any:
        """The array, or the nest of arrays; None where nothing was put."""
        if self._parts is not None:
            parts = {key: rows.result() for key, rows in self._parts.items()}
            if self._kind is not None and issubclass(self._kind, Mapping):
                return parts
            return tuple(parts[index] for index in sorted(parts))
        return None if self._array is None else self._array[: max(self.count, self.total or 0)]


class Gathered:
    """What an evaluation collects: predictions, labels, inputs, losses, each row at its place."""

    def __init__(self, total: int | None, flush_every: int) -> None:
        self.rows = {name: Rows(total) for name in ("predictions", "labels", "inputs", "losses")}
        self.flush_every = flush_every
        self._waiting: list[tuple[Sequence[int], dict[str, Any]]] = []

    def add(self, places: Sequence[int], **values: Any) -> None:
        """Take one batch; it may wait on its device until enough have come."""
        self._waiting.append((places, values))
        if len(self._waiting) >= self.flush_every:
            self.flush()

    def flush(self) -> None:
        """Move what waits to main memory."""
        for places, values in self._waiting:
            for name, value in values.items():
                self.rows[name].put(places, value)
        self._waiting.clear()

    def results(self) -> dict[str, Any]:
        """All arrays."""
        self.flush()
        return {name: rows.result() for name, rows in self.rows.items()}
