"""What the fields of a batch hold: text, nothing, or what no tensor can, told with its row."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

LABELS = ("label", "label_ids", "labels")


def told(collate: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Where a batch cannot be made, say which value of which row no tensor can hold."""

    @functools.wraps(collate)
    def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return collate(*args, **kwargs)
        except (TypeError, ValueError, RuntimeError) as error:
            features = next((one for one in (*args, *kwargs.values()) if isinstance(one, (list, tuple))), ())
            rows = [row for row in features if isinstance(row, Mapping)]
            for name in dict.fromkeys(chain.from_iterable(rows)):
                values = [row.get(name) for row in rows]
                if is_missing(rows, name) or all(is_text(name, value) for value in values):
                    continue
                if odd := _odd_value(values, name):
                    raise ValueError(odd) from error
            raise

    return call


def _odd_value(values: Sequence[Any], name: str) -> str:
    """What is wrong with one of a field's values, or an empty text."""
    depths = [_depth(value) for value in values]
    for number, (value, depth) in enumerate(zip(values, depths, strict=True), start=1):
        found = next((one for one in _numbers(value) if not hasattr(one, "__float__")), 0)
        if not hasattr(found, "__float__"):
            return f"row {number} of this batch has {found!r} in {name!r}, where a number is expected"
        if depth != depths[0] or depth < 0:
            return (
                f"row {number} of this batch has {reprlib.repr(value)} in {name!r}, where others have "
                f"{reprlib.repr(values[0] if depth != depths[0] else 0)}: give all of them one shape"
            )
    return ""


def _depth(value: Any) -> int:
    """How deep lists go; -1 where that differs inside a list."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim
    if not isinstance(value, (list, tuple)):
        return 0
    inner = {_depth(item) for item in value} or {0}
    return 1 + inner.pop() if len(inner) == 1 and -1 not in inner else -1


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif not isinstance(value, (Tensor, np.ndarray)):
        yield value


def is_text(name: str, value: Any) -> bool:
    """Whether a field holds text, which no model reads.

    Raises:
        ValueError: where that field is the label.
    """
    if isinstance(value, str) and name in LABELS:
        raise ValueError(
            f"the column {name!r} holds text ({value[:40]!r}), and a loss needs numbers: number the labels, "
            f"as dataset.class_encode_column({name!r}) and formers.training.data.label_maps do"
        )
    return isinstance(value, str)


def is_missing(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a field is None, or not there, in all rows. Of text, which no model reads, one row is enough.

    Raises:
        ValueError: where only some rows lack it.
    """
    without = [index for index, row in enumerate(rows) if row.get(name) is None]
    if not without or len(without) == len(rows):
        return bool(without)
    if name not in LABELS and any(isinstance(row.get(name), str) for row in rows):
        return True
    what = f"label ({name!r} is None)" if name in LABELS else f"{name!r}"
    raise ValueError(
        f"row {without[0] + 1} of this batch has no {what}, and others have: give it one, or leave such rows "
        f"out of the dataset: [row for row in rows if row.get({name!r}) is not None]"
    )
