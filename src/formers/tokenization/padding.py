"""Rows of unequal length, brought to one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.options import Fit, TensorType

if TYPE_CHECKING:
    from formers.tokenization.calls import Calls


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


def pad_to_array(rows: list[list[int]], width: int, side: str, fill: int) -> np.ndarray[Any, Any]:
    """Pad rows of integers straight into an array [B, width] of int64; no row may be longer."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    places = np.arange(width)
    real = places < lengths[:, None] if side == "right" else places >= width - lengths[:, None]  # [B, width]
    out = np.full((len(rows), width), fill, dtype=np.int64)
    out[real] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return out


def pad_encoded(
    tokenizer: Calls, given: Any, fit: Fit, return_attention_mask: bool | None, kind: TensorType | None
) -> BatchEncoding:
    """Pad rows that were encoded before; see `Calls.pad`."""
    columns = _columns(given)
    main = tokenizer.model_input_names[0]
    if main not in columns:
        raise ValueError(f"`pad` needs {main!r} in what it pads, but was given {list(columns)}")
    kind = kind or _kind(columns[main])
    columns = {name: _listed(column) for name, column in columns.items()}
    rows = columns[main]
    if return_attention_mask is None:
        return_attention_mask = "attention_mask" in tokenizer.model_input_names
    single = not (len(rows) and isinstance(rows[0], (list, tuple)))
    if single:
        columns = {name: [column] for name, column in columns.items()}
        rows = columns[main]
    if any(len(column) != len(rows) for column in columns.values()):
        sizes = {name: len(column) for name, column in columns.items()}
        raise ValueError(f"the columns to pad must hold one entry per row, but hold {sizes}")
    if return_attention_mask and "attention_mask" not in columns:
        columns["attention_mask"] = [[1] * len(row) for row in rows]
    lengths = [len(row) for row in rows]
    width = fit.width(max(lengths, default=0)) if fit.pads else 0
    if fit.pads and any(length != width for length in lengths):
        fill = tokenizer._fill(tokenizer._padding_token()[1])
        for name in columns:
            if name in fill:
                columns[name] = pad_rows(columns[name], width, fit.side, fill[name])
    values = {name: column[0] for name, column in columns.items()} if single else columns
    return BatchEncoding(values, tensor_type=kind)


def _columns(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    rows = list(given)
    if not rows or not isinstance(rows[0], Mapping):
        raise TypeError(f"`pad` takes a dictionary or a list of dictionaries, but got {type(given).__name__}")
    for place, row in enumerate(rows):
        if set(row) != set(rows[0]):
            raise ValueError(f"row {place} has the columns {sorted(row)}, row 0 has {sorted(rows[0])}")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _kind(column: Any) -> TensorType | None:
    first = column
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    if isinstance(first, np.ndarray):
        return TensorType.NUMPY
    return TensorType.PYTORCH if hasattr(first, "detach") else None


def _listed(column: Any) -> Any:
    if hasattr(column, "tolist"):
        return column.tolist()
    return [item.tolist() if hasattr(item, "tolist") else item for item in column]
