"""Rows of unequal length, brought to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from formers.tokenization.encoding import BatchEncoding, Padding
from formers.tokenization.options import EncodeOptions, TensorType


class Filling(NamedTuple):
    """What rows are padded with: the token, its id, its token type; and the column that the model reads.

    `more` says what other columns are padded with, or takes the place of what is usual.
    """

    token: str
    pad_id: int
    type_id: int
    main: str = "input_ids"
    more: Mapping[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return the filling of each column that a tokenizer makes."""
        return {
            self.main: self.pad_id,
            "input_ids": self.pad_id,
            "token_type_ids": self.type_id,
            "attention_mask": 0,
            "special_tokens_mask": 1,
            "offset_mapping": (0, 0),
            **self.more,
        }


class Beside(NamedTuple):
    """What rows count beside their tokens.

    Attributes:
        counted: the column that says how many.
        mask: its attention mask.
        most: how many with padding="max_length".
        values: what each column is padded with.
    """

    counted: str
    mask: str
    most: int
    values: Mapping[str, Any]


def pad_rows(rows: list[Any], width: int, side: str, fill: Any) -> list[Any]:
    """Pad lists of any entries to `width` of them with `fill`; longer ones stay as they are."""
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


def pad_columns(
    columns: dict[str, Any], options: EncodeOptions, filling: Callable[[], Filling]
) -> Padding | None:
    """Pad every column in place and say how, for those who look at the encodings later.

    Where tensors are wanted, columns of integers become arrays on the way: tensors are made of those at once.
    """
    rows, side = columns["input_ids"], options.padding_side
    width = options.width(max(map(len, rows), default=0))
    if all(len(row) == width for row in rows):
        return None
    fill = filling()
    values = fill.values()
    for name, column in columns.items():
        value = values[name]
        arrays = options.return_tensors is not None and isinstance(value, int)
        columns[name] = (pad_to_array if arrays else pad_rows)(column, width, side, value)
    return Padding(width, side, fill.pad_id, fill.type_id, fill.token)


def pad_encoded(
    given: Any,
    options: EncodeOptions,
    main: str,
    filling: Callable[[], Filling],
    beside: Beside | None = None,
) -> BatchEncoding:
    """Pad rows that were encoded before, `main` being the column that the model reads; see `pad`."""
    columns = _columns(given)
    if main not in columns:
        raise ValueError(f"`pad` needs {main!r} in what it pads, but was given {list(columns)}")
    kind = options.return_tensors or _kind(columns[main])
    columns = {name: _listed(column) for name, column in columns.items()}
    rows = columns[main]
    single = not (len(rows) and isinstance(rows[0], (list, tuple)))
    if single:
        columns = {name: [column] for name, column in columns.items()}
        rows = columns[main]
    if any(len(column) != len(rows) for column in columns.values()):
        sizes = {name: len(column) for name, column in columns.items()}
        raise ValueError(f"the columns to pad must hold one entry per row, but hold {sizes}")
    if options.return_attention_mask and "attention_mask" not in columns:
        columns["attention_mask"] = [[1] * len(row) for row in rows]
    lengths = [len(row) for row in rows]
    width = options.width(max(lengths, default=0)) if options.pads else 0
    if options.pads and any(length != width for length in lengths):
        fill = filling().values()
        for name in columns.keys() & fill.keys():
            columns[name] = pad_rows(columns[name], width, options.padding_side, fill[name])
    if beside is not None and beside.counted in columns:
        _pad_beside(columns, options, beside)
    values = {name: column[0] for name, column in columns.items()} if single else columns
    return BatchEncoding(values, tensor_type=kind)


def _pad_beside(columns: dict[str, Any], options: EncodeOptions, beside: Beside) -> None:
    rows = columns[beside.counted]
    if options.return_attention_mask and beside.mask not in columns:
        columns[beside.mask] = [[1] * len(row) for row in rows]
    if options.pads:
        width = options.width(max(map(len, rows), default=0), beside.most)
        for name in columns.keys() & beside.values.keys():
            columns[name] = pad_rows(columns[name], width, options.padding_side, beside.values[name])


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
