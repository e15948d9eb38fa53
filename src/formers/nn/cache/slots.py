"""The slots of a cache: what one mixer keeps between calls, each of a kind that its spec asks for."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.nn.spec import SlotSpec

_GROWTH = 64  # tokens; a growing slot allocates in blocks so that a step seldom copies


class Slot:
    """Keys and values of one layer, [B, G, S, D] each, and the positions that they hold."""

    length: int = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Add the newest T keys and values.

        Returns:
            All keys and values that queries may see, in order of position, and the first one's position.
        """
        raise NotImplementedError(f"{type(self).__name__} does not store keys")

    def reorder(self, rows: Tensor) -> None:
        """Keep the batch rows `rows` ([B'], int64), in that order."""
        raise NotImplementedError(f"{type(self).__name__} does not store keys")

    def crop(self, length: int) -> None:
        """Forget all but the first `length` positions."""
        raise NotImplementedError(f"{type(self).__name__} does not store keys")

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """The keys and values held, or None while empty."""
        raise NotImplementedError(f"{type(self).__name__} does not store keys")

    def reset(self) -> None:
        """Hold nothing."""
        vars(self).update({name: None for name, value in vars(self).items() if isinstance(value, Tensor)})
        self.length = 0


class Growing(Slot):
    """Everything ever seen, in storage that grows by blocks; `capacity` tokens are reserved at once.

    While a graph is recorded the new ones are joined to what is held, whose storage is as long as that:
    blocks would make a graph for each number of them.
    """

    joins = True

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = capacity
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append; while gradients or a graph are recorded the storage is not written in place."""
        end = self.length + keys.shape[2]
        tracked = torch.is_grad_enabled() and (keys.requires_grad or self._tracked())
        if tracked or (self.joins and torch.compiler.is_compiling()):
            held = self.contents()
            if held is None and torch.compiler.is_dynamo_compiling():  # laid out as those that are joined
                keys, values = keys.contiguous(), values.contiguous()
            self.keys = keys if held is None else torch.cat((held[0], keys), dim=2)  # [B, G, S, D]
            self.values = values if held is None else torch.cat((held[1], values), dim=2)  # [B, G, S, D]
        else:
            self._reserve(end, keys, values)
            assert self.keys is not None
            assert self.values is not None
            self.keys[:, :, self.length : end] = keys
            self.values[:, :, self.length : end] = values
        self.length = end
        assert self.keys is not None
        assert self.values is not None
        return self.keys[:, :, :end], self.values[:, :, :end], 0

    def _tracked(self) -> bool:
        return self.keys is not None and self.keys.requires_grad

    def _reserve(self, end: int, keys: Tensor, values: Tensor) -> None:
        if self.keys is not None and self.keys.shape[2] >= end:
            return
        room = max(self.capacity, -(-end // _GROWTH) * _GROWTH, end + self.length // 2)
        for name, like in (("keys", keys), ("values", values)):
            held = getattr(self, name)
            batch, groups, _, width = like.shape
            grown = like.new_empty(batch, groups, room, width)  # [B, G, room, D]
            if held is not None:
                grown[:, :, : self.length] = held[:, :, : self.length]
            setattr(self, name, grown)

    def reorder(self, rows: Tensor) -> None:
        """Keep the given batch rows; what is reserved is not copied."""
        if self.keys is None or self.values is None or _in_place(rows, len(self.keys)):
            return
        rows = rows.to(self.keys.device)
        for name in ("keys", "values"):
            held: Tensor = getattr(self, name)
            used = held[:, :, : self.length].index_select(0, rows)
            if used.requires_grad:
                setattr(self, name, used)
                continue
            kept = held.new_empty(rows.shape[0], *held.shape[1:])
            kept[:, :, : self.length] = used
            setattr(self, name, kept)

    def crop(self, length: int) -> None:
        """Forget the newest positions; a negative `length` counts from the end."""
        self.length = min(self.length, length) if length >= 0 else max(self.length + length, 0)
        if self._tracked():
            assert self.values is not None
            assert self.keys is not None
            self.keys, self.values = self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """[B, G, S, D] each."""
        if self.keys is None or self.values is None:
            return None
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


def _in_place(rows: Tensor, batch: int) -> bool:
    """Whether every row stays where it is."""
    return rows.device.type == "cpu" and rows.tolist() == list(range(batch))


class Latent(Growing):
    """What keys and values are read from: latent vectors [B, 1, S, rank] and turned keys [B, 1, S, D]."""


class Kept(Growing):
    """Keys and values of what stands beside the text: they count as no tokens, and go when all tokens do."""

    def crop(self, length: int) -> None:
        """They stay, unless no token does."""
        if length == 0:
            super().crop(0)
            self.keys = self.values = None


class Static(Growing):
    """A fixed number of positions, allocated at the first update; more is an error."""

    joins = False

    def _reserve(self, end: int, keys: Tensor, values: Tensor) -> None:
        if end > self.capacity:
            raise ValueError(f"the static cache holds {self.capacity} positions, but {end} are needed")
        super()._reserve(self.capacity, keys, values)


class Ring(Slot):
    """The last `window - 1` positions before the newest ones; order is told by positions, not by place."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append and forget what no later query can see."""
        self.length += keys.shape[2]
        if self.keys is not None and self.values is not None:
            keys, values = (
                torch.cat((self.keys, keys), 2),
                torch.cat((self.values, values), 2),
            )  # [B, G, S, D]
        kept = self.window - 1
        # cloned: a view would keep the whole of the longer tensor alive
        self.keys, self.values = keys[:, :, -kept:].clone(), values[:, :, -kept:].clone()
        if kept == 0:
            self.keys, self.values = keys[:, :, :0], values[:, :, :0]
        return keys, values, self.length - keys.shape[2]

    def reorder(self, rows: Tensor) -> None:
        """Keep the given batch rows."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)

    def crop(self, length: int) -> None:
        """A ring has forgotten what a crop would need, unless nothing fell out yet."""
        length = length if length >= 0 else self.length + length
        if length >= self.length:
            return
        if self.keys is None or self.values is None or self.keys.shape[2] < self.length:
            raise ValueError("a sliding-window cache cannot be cropped once the window has moved")
        self.keys, self.values, self.length = self.keys[:, :, :length], self.values[:, :, :length], length

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """The positions still held."""
        return None if self.keys is None or self.values is None else (self.keys, self.values)


class Recurrent(Slot):
    """What a recurrence remembers: its state, and the last tokens that its convolution saw.

    Attributes:
        window: [B, kernel - 1, I], or None while empty.
        state: [B, ..], float32, as the mixer lays it out; None while empty.
    """

    def __init__(self) -> None:
        self.window: Tensor | None = None
        self.state: Tensor | None = None
        self.length = 0

    def remember(self, window: Tensor, state: Tensor, count: int) -> None:
        """Replace what is held, `count` tokens later."""
        self.window, self.state, self.length = window, state, self.length + count

    def reorder(self, rows: Tensor) -> None:
        """Keep the given batch rows."""
        if self.window is not None and self.state is not None:
            self.window, self.state = self.window.index_select(0, rows), self.state.index_select(0, rows)

    def crop(self, length: int) -> None:
        """A recurrence cannot go back.

        Raises:
            ValueError: when fewer tokens are wanted than were read.
        """
        _keep_all(self.length, length)

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """Window and state."""
        return None if self.window is None or self.state is None else (self.window, self.state)


class Hybrid(Growing):
    """Keys and values, and beside them what a recurrence of the same layer remembers; see `Recurrent`."""

    def __init__(self) -> None:
        super().__init__()
        self.window: Tensor | None = None
        self.state: Tensor | None = None

    def remember(self, window: Tensor, state: Tensor, count: int) -> None:
        """Replace what the recurrence holds; the keys count the tokens."""
        self.window, self.state = window, state

    def reorder(self, rows: Tensor) -> None:
        """Keep the given batch rows."""
        super().reorder(rows)
        if self.window is not None and self.state is not None:
            self.window, self.state = self.window.index_select(0, rows), self.state.index_select(0, rows)

    def crop(self, length: int) -> None:
        """As of `Recurrent`."""
        _keep_all(self.length, length)


def _keep_all(held: int, length: int) -> None:
    """Refuse to go back from `held` tokens to `length`, or by as many as a negative one says."""
    if (length if length >= 0 else held + length) < held:
        raise ValueError("a recurrent cache cannot be cropped: what it read is mixed into its state")


def made(wanted: SlotSpec | None) -> Slot:
    """An empty slot of the kind that a spec asks for."""
    if wanted is None or wanted.kind == "growing":
        return Growing()
    if wanted.kind == "ring":
        return Ring(wanted.size)
    kinds: dict[str, type[Slot]] = {"latent": Latent, "recurrent": Recurrent, "hybrid": Hybrid, "kept": Kept}
    return kinds[wanted.kind]()
