"""Slots for rows that come and go: sequences of different lengths share one batch, aligned at their ends.

Every row's newest token stands in the same column, so a step appends one column for all. A row that joins is
written before that column; the one that leaves is replaced by the last. Nothing is copied per step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from formers.nn.cache.slots import Growing, Hybrid, Recurrent, Slot
from formers.nn.spec import SlotSpec

_COLUMNS = 256  # by which storage grows, and before which there is room for longer rows


class Whole(Growing):
    """Everything ever seen, also where the layer would do with a window: rows of a pool begin in it."""


class Shared(Slot):
    """A slot of rows that come and go; `length` columns are in use."""

    def join(self, slot: Slot) -> None:
        """Add a row that holds what `slot` holds for one sequence."""
        raise NotImplementedError(f"{type(self).__name__} has no rows")

    def leave(self, row: int, columns: int) -> None:
        """Forget a row, whose place the last one takes, and the columns before the last `columns`."""
        raise NotImplementedError(f"{type(self).__name__} has no rows")


class Pooled(Growing, Shared):
    """Keys and values [rows, G, columns, D]."""

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

    def join(self, slot: Slot) -> None:
        """Add a row of keys and values [1, G, S, D]; where it is the longest, others get columns.

        Raises:
            ValueError: when all rows are taken.
        """
        found = slot.contents()
        assert found is not None
        keys, values = found[:2]
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

    def leave(self, row: int, columns: int) -> None:
        """Nothing but the row that takes another's place is copied."""
        self.count -= 1
        if row != self.count and self.keys is not None:
            held_keys, held_values = self._storage()
            used = slice(self.start, self.start + self.length)
            held_keys[row, :, used] = held_keys[self.count, :, used]
            held_values[row, :, used] = held_values[self.count, :, used]
        self.start, self.length = self.start + self.length - columns, columns

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


class PooledState(Recurrent, Shared):
    """Windows and states, or nothing, where the layer keeps nothing."""

    def join(self, slot: Slot) -> None:
        """Windows and states of the row, [1, ..] each."""
        assert not isinstance(slot, Growing) or not slot.length
        _join_state(self, slot)
        self.length = max(self.length, slot.length)

    def leave(self, row: int, columns: int) -> None:
        """The other rows are copied: states are small."""
        _leave_state(self, row)
        self.length = min(self.length, columns)


class PooledHybrid(Pooled, Hybrid):
    """Keys and values, and windows and states beside them."""

    def join(self, slot: Slot) -> None:
        """Add a row of both."""
        super().join(slot)
        _join_state(self, slot)

    def leave(self, row: int, columns: int) -> None:
        """Forget a row of both."""
        super().leave(row, columns)
        _leave_state(self, row)


def _join_state(pool: PooledState | PooledHybrid, slot: Slot) -> None:
    if not isinstance(slot, Recurrent | Hybrid) or slot.window is None or slot.state is None:
        return
    if pool.window is None or pool.state is None:
        pool.window, pool.state = slot.window, slot.state
    else:
        pool.window = torch.cat((pool.window, slot.window))
        pool.state = torch.cat((pool.state, slot.state))


def _leave_state(pool: PooledState | PooledHybrid, row: int) -> None:
    if pool.window is None or pool.state is None:
        return
    last = len(pool.state) - 1
    order = torch.arange(last, device=pool.state.device)
    order[row : row + 1] = last
    pool.window, pool.state = pool.window.index_select(0, order), pool.state.index_select(0, order)


def pooled(wanted: SlotSpec | None, rows: int) -> Shared:
    """A slot for rows that come and go, of the kind that a spec asks for."""
    if wanted is None or wanted.kind in ("recurrent", "kept"):  # prompts of the engine show nothing
        return PooledState()
    return PooledHybrid(rows) if wanted.kind == "hybrid" else Pooled(rows)
