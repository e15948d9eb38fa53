"""Slots for rows that come and go: sequences of different lengths share one batch, aligned at their ends.

Every row's newest token stands in the same column, so a step appends one column for all. A row that joins is
written before that column; the one that leaves is replaced by the last. Nothing is copied per step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from formers.nn.cache.slots import Growing, Recurrent, Slot
from formers.nn.spec import SlotSpec

_COLUMNS = 256  # by which storage grows, and before which there is room for longer rows


class Whole(Growing):
    """Everything ever seen, also where the layer would do with a window: rows of a pool begin in it."""


class Pooled(Growing):
    """Keys and values [rows, G, columns, D] of rows that come and go; `length` columns are in use."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.room, self.count, self.start = rows, 0, 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append the newest tokens of every row, [rows, G, T, D] each."""
        new = keys.shape[2]
        self._fit(0, new, keys, values)
        end = self.start + self.length
        held_keys, held_values = self._storage()
        held_keys[: self.count, :, end : end + new] = keys
        held_values[: self.count, :, end : end + new] = values
        self.length += new
        found = self.contents()
        assert found is not None
        return *found, 0

    def join(self, keys: Tensor, values: Tensor) -> None:
        """Add a row that holds keys and values [1, G, S, D]; where it is the longest, others get columns.

        Raises:
            ValueError: when all rows are taken.
        """
        if self.count >= self.room:
            raise ValueError(f"all {self.room} rows of the pool are taken")
        size = keys.shape[2]
        self._fit(max(size - self.length, 0), 0, keys, values)
        if size > self.length:
            self.start, self.length = self.start - (size - self.length), size
        held_keys, held_values = self._storage()
        end = self.start + self.length
        held_keys[self.count, :, end - size : end] = keys[0]
        held_values[self.count, :, end - size : end] = values[0]
        self.count += 1

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        self.count -= 1
        if row != self.count and self.keys is not None:
            held_keys, held_values = self._storage()
            used = slice(self.start, self.start + self.length)
            held_keys[row, :, used] = held_keys[self.count, :, used]
            held_values[row, :, used] = held_values[self.count, :, used]

    def trim(self, columns: int) -> None:
        """Forget the first columns, which no row needs."""
        self.start, self.length = self.start + columns, self.length - columns

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """[count, G, length, D] each."""
        if self.keys is None or self.values is None:
            return None
        used = slice(self.start, self.start + self.length)
        return self.keys[: self.count, :, used], self.values[: self.count, :, used]

    def reorder(self, rows: Tensor) -> None:
        """Rows come and go one by one.

        Raises:
            ValueError: always.
        """
        raise ValueError("the rows of a pool join and leave, and do not change places")

    def _storage(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def _fit(self, before: int, behind: int, keys: Tensor, values: Tensor) -> None:
        """Make room for so many columns before and behind those in use."""
        if self.keys is not None:
            room = self.keys.shape[2]
            if self.start >= before and self.start + self.length + behind <= room:
                return
        columns = before + self.length + behind
        whole = -(-(columns + _COLUMNS) // _COLUMNS) * _COLUMNS + self.length // 2
        start = before + (whole - columns) // 4
        for name, like in (("keys", keys), ("values", values)):
            held = getattr(self, name)
            # zeros: columns that a shorter row does not see have no weight, but what is no number would
            # spread
            grown = like.new_zeros(self.room, like.shape[1], whole, like.shape[3])
            if held is not None:
                kept = held[: self.count, :, self.start : self.start + self.length]
                grown[: self.count, :, start : start + self.length] = kept
            setattr(self, name, grown)
        self.start = start


class PooledState(Recurrent):
    """Windows and states of rows that come and go."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.room = rows

    def join(self, window: Tensor, state: Tensor) -> None:
        """Add a row, [1, ..] each."""
        if self.window is None or self.state is None or not len(self.state):
            self.window, self.state = window, state
        else:
            self.window = torch.cat((self.window, window))
            self.state = torch.cat((self.state, state))

    def leave(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        if self.window is None or self.state is None:
            return
        last = len(self.state) - 1
        order = [last if i == row else i for i in range(last)]
        self.reorder(torch.tensor(order, dtype=torch.int64, device=self.state.device))


def pooled(wanted: SlotSpec | None, rows: int) -> Slot:
    """A slot for rows that come and go, of the kind that a spec asks for.

    Raises:
        ValueError: for a layer that keeps keys and a state.
    """
    if wanted is not None and wanted.kind == "recurrent":
        return PooledState(rows)
    if wanted is not None and wanted.kind == "hybrid":
        raise ValueError(
            "layers that keep both keys and a state cannot share a batch of rows that come and go"
        )
    return Pooled(rows)
