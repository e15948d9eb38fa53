"""Nests of tensors (records, mappings, lists, tuples): mapped, joined into batches and split again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from formers.core.model_output import ModelOutput


def mapped(function: Callable[[Any], Any], value: Any, kinds: Any = Tensor) -> Any:
    """Apply `function` to everything of `kinds` (a class, or several) in a nest; the rest stays as it is."""
    if isinstance(value, kinds):
        return function(value)
    if isinstance(value, ModelOutput | Mapping):
        found = {key: mapped(function, item, kinds) for key, item in value.items()}
        return type(value)(**found) if isinstance(value, ModelOutput) else found
    if type(value) in (list, tuple) or hasattr(value, "_fields"):
        parts = [mapped(function, item, kinds) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def padded_cat(values: Sequence[Tensor], fill: Any = 0, left: bool = False) -> Tensor:
    """Join tensors along their first axis, their second padded with `fill` to that of the widest."""
    widths = {value.shape[1] for value in values if value.dim() > 1}
    if len(widths) < 2:
        return torch.cat(list(values))
    width = max(widths)
    out = values[0].new_full((sum(map(len, values)), width, *values[0].shape[2:]), fill)
    start = 0
    for value in values:
        column = width - value.shape[1] if left else 0
        out[start : start + len(value), column : column + value.shape[1]] = value
        start += len(value)
    return out


def row_count(value: Any) -> int:
    """Length of the first axis of the first tensor in a mapping, or of a tensor; 1 where there is none."""
    values = value.values() if isinstance(value, Mapping) else [value]
    return next((int(one.shape[0]) for one in values if isinstance(one, Tensor) and one.dim()), 1)


def split(value: Any, rows: Sequence[int]) -> list[Any]:
    """Split a nest that holds the rows of several items.

    Args:
        value: tensors with one row for each row of the batch are cut, lists with one entry for each item are
            taken apart; everything else is given to every item as it is.
        rows: how many rows each item has.
    """
    total, found = sum(rows), []
    for item, (stop, count) in enumerate(zip(accumulate(rows), rows, strict=True)):

        def part(one: Any, item: int = item, own: slice = slice(stop - count, stop)) -> Any:
            if isinstance(one, list):
                return one[item] if len(one) == len(rows) else one
            return one[own] if one.dim() and len(one) == total else one

        found.append(mapped(part, value, (Tensor, list)))
    return found
