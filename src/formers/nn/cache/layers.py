"""A cache as packages read it: layer by layer, by sizes and limits, under the names of every year."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from typing import Any, ClassVar, overload

import torch
from torch import Tensor

from formers.nn.cache.slots import Growing, Hybrid, Kept, Recurrent, Ring, Slot, Static

# names of caches in some year that none has here -> what to use
_REFUSED = {
    **dict.fromkeys(
        ("update_conv_state", "update_recurrent_state"),
        "a layer's states are kept by the layer itself: cache.slot(layer).remember(...)",
    ),
    "update_indexer": "no model of this version keeps keys of an indexer",
    "layer_class_to_replicate": "each layer gets the slot that it asks for: Cache.begin(spec) says which",
}


class CacheLayer:
    """What a cache holds for one layer; made alone, an empty layer of its kind.

    `keys` and `values` [B, G, S, D] may be set, to both of which the same S belongs; None while empty, and of
    layers that keep a state alone. What is returned shares the cache's memory.
    """

    is_sliding: ClassVar[bool] = False
    is_compileable: ClassVar[bool] = False

    def __init__(self, slot: Slot | None = None) -> None:
        self.slot = Growing() if slot is None else slot

    @property
    def keys(self) -> Tensor | None:
        """[B, G, S, D]; None while empty."""
        return self._held(0)

    @keys.setter
    def keys(self, value: Tensor) -> None:
        self._put("keys", value)

    @property
    def values(self) -> Tensor | None:
        """[B, G, S, D]; None while empty."""
        return self._held(1)

    @values.setter
    def values(self, value: Tensor) -> None:
        self._put("values", value)

    def _held(self, side: int) -> Tensor | None:
        held = None if isinstance(self.slot, Recurrent) else self.slot.contents()
        return None if held is None else held[side]

    def _put(self, name: str, value: Tensor) -> None:
        slot = self.slot
        if isinstance(slot, Ring):
            if slot.keys is None or value.shape[2] != slot.keys.shape[2]:
                raise ValueError(f"{name} of a window that moved are set with as many positions as it holds")
        elif isinstance(slot, Growing):
            for side in ("keys", "values"):  # without what is reserved
                if (own := getattr(slot, side)) is not None:
                    setattr(slot, side, own[:, :, : slot.length])
            slot.length = value.shape[2]
        else:
            raise ValueError(
                f"the {name} of a {type(slot).__name__} layer cannot be set: fill a new cache by its update"
            )
        setattr(slot, name, value)

    @property
    def is_initialized(self) -> bool:
        """Whether anything was put in."""
        return self.slot.contents() is not None

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the keys; None while empty."""
        return None if (held := self.slot.contents()) is None else held[0].dtype

    @property
    def device(self) -> torch.device | None:
        """Where the keys are; None while empty."""
        return None if (held := self.slot.contents()) is None else held[0].device

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values [B, G, T, D]; returns all that newest queries may see."""
        return self.slot.update(key_states, value_states)[:2]

    def get_seq_length(self, *args: Any) -> int:
        """Positions seen so far."""
        return self.slot.length

    def get_max_cache_shape(self) -> int:
        """How many positions there is room for; -1 without a limit."""
        return self.slot.capacity if isinstance(self.slot, Static) else -1

    def get_mask_sizes(self, query_length: int | Tensor) -> tuple[int, int]:
        """How many keys T new queries are compared with, and the position of the first of them.

        Args:
            query_length: T; of older releases, the positions [T] of the queries.
        """
        new = len(query_length) if isinstance(query_length, Tensor) else query_length
        held = 0 if (keys := self.keys) is None else keys.shape[2]
        if isinstance(self.slot, Static):
            return self.slot.capacity, 0
        return held + new, self.slot.length - held

    def reset(self) -> None:
        """Forget everything."""
        self.slot.reset()

    def crop(self, max_length: int) -> None:
        """Forget all but the first positions; a negative number counts from the end."""
        self.slot.crop(max_length)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the batch rows `beam_idx` ([B'], int64)."""
        self.slot.reorder(beam_idx)

    batch_select_indices = reorder_cache

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Let every batch row stand `repeats` times in a row."""
        if (held := self.slot.contents()) is not None:
            rows = torch.arange(held[0].shape[0], device=held[0].device)
            self.slot.reorder(rows.repeat_interleave(repeats))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.slot).__name__} of {self.slot.length} positions)"


class DynamicLayer(CacheLayer):
    """A layer that grows with the sequence."""


class DynamicSlidingWindowLayer(DynamicLayer):
    """A layer that keeps the last positions that later queries see.

    Args:
        sliding_window: how far back a query sees, itself included.
    """

    is_sliding = True

    def __init__(self, sliding_window: int, slot: Slot | None = None) -> None:
        super().__init__(Ring(sliding_window) if slot is None else slot)

    @property
    def sliding_window(self) -> int:
        """How far back a query sees, itself included."""
        assert isinstance(self.slot, Ring)
        return self.slot.window


class StaticLayer(CacheLayer):
    """A layer of a fixed number of positions.

    Args:
        max_cache_len: positions.
    """

    is_compileable = True

    def __init__(self, max_cache_len: int, slot: Slot | None = None) -> None:
        super().__init__(Static(max_cache_len) if slot is None else slot)

    @property
    def max_cache_len(self) -> int:
        """Positions that there is room for."""
        return self.get_max_cache_shape()


def layer_of(slot: Slot) -> CacheLayer:
    """A slot as a layer of the kind that packages know."""
    if isinstance(slot, Ring):
        return DynamicSlidingWindowLayer(slot.window, slot)
    if isinstance(slot, Static):
        return StaticLayer(slot.capacity, slot)
    return DynamicLayer(slot) if isinstance(slot, Growing) else CacheLayer(slot)


class Layers(MutableSequence[CacheLayer]):
    """The layers of a cache, as its own list: what is put in or taken out is there or gone."""

    def __init__(self, slots: list[Slot]) -> None:
        self._slots = slots

    @overload
    def __getitem__(self, at: int) -> CacheLayer: ...
    @overload
    def __getitem__(self, at: slice) -> list[CacheLayer]: ...
    def __getitem__(self, at: int | slice) -> CacheLayer | list[CacheLayer]:
        return (
            [layer_of(one) for one in self._slots[at]] if isinstance(at, slice) else layer_of(self._slots[at])
        )

    def __setitem__(self, at: Any, value: Any) -> None:
        self._slots[at] = [one.slot for one in value] if isinstance(at, slice) else value.slot

    def __delitem__(self, at: int | slice) -> None:
        del self._slots[at]

    def __len__(self) -> int:
        return len(self._slots)

    def insert(self, index: int, value: CacheLayer) -> None:
        """Put a layer before another one."""
        self._slots.insert(index, value.slot)


class Side(Sequence[Any]):
    """The keys, or the values, of every layer: tensors [B, G, S, D], which may be set; [] of empty ones."""

    def __init__(self, layers: Layers, name: str) -> None:
        self._layers, self._name = layers, name

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(len(self))[at]]
        held = getattr(self._layers[at], self._name)
        return [] if held is None else held

    def __setitem__(self, at: int, value: Tensor) -> None:
        setattr(self._layers[at], self._name, value)

    def __len__(self) -> int:
        return len(self._layers)


class AsLayers:
    """What caches answer beside what models ask of them."""

    slots: list[Slot]
    get_seq_length: Callable[..., int]

    @property
    def layers(self) -> Layers:
        """What is held, layer by layer."""
        return Layers(self.slots)

    @layers.setter
    def layers(self, value: Iterable[CacheLayer]) -> None:
        self.slots = [one.slot for one in value]

    @property
    def key_cache(self) -> Side:
        """The keys of every layer; the name of releases before 4.56."""
        return Side(self.layers, "keys")

    @property
    def value_cache(self) -> Side:
        """The values of every layer; the name of releases before 4.56."""
        return Side(self.layers, "values")

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """How many positions a layer has room for; -1 without a limit."""
        return self.layers[layer_idx].get_max_cache_shape() if layer_idx < len(self.slots) else -1

    def get_max_length(self, layer_idx: int = 0) -> int | None:
        """How many positions a layer has room for; None without a limit, as before 4.48."""
        room = self.get_max_cache_shape(layer_idx)
        return None if room < 0 else room

    def get_usable_length(self, new_seq_length: int, layer_idx: int | None = 0) -> int:
        """Positions held that stay beside as many new ones: fewer where there is no room for all."""
        held, room = self.get_seq_length(layer_idx or 0), self.get_max_length(layer_idx or 0)
        return held if room is None or held + new_seq_length <= room else room - new_seq_length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """The position of the next token."""
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, query_length: int | Tensor, layer_idx: int) -> tuple[int, int]:
        """How many keys new queries of a layer are compared with, and the first one's position."""
        if layer_idx >= len(self.slots):
            return (len(query_length) if isinstance(query_length, Tensor) else query_length), 0
        return self.layers[layer_idx].get_mask_sizes(query_length)

    def has_previous_state(self, layer_idx: int | None = None) -> bool:
        """Whether a layer that keeps a state holds one: the last of those, where none is named.

        Raises:
            ValueError: where no layer keeps a state, or the one named does not.
        """
        kept = [i for i, slot in enumerate(self.slots) if isinstance(slot, Recurrent | Hybrid)]
        if not kept or (layer_idx is not None and layer_idx < len(self.slots) and layer_idx not in kept):
            raise ValueError(
                "this cache holds keys and values there, no states: ask get_seq_length() instead"
            )
        at = kept[-1] if layer_idx is None else layer_idx
        return at < len(self.slots) and getattr(self.slots[at], "state", None) is not None

    def reset(self) -> None:
        """Forget everything; the layers stay what they are."""
        for slot in self.slots:
            slot.reset()
        if (cross := getattr(self, "cross", None)) is not None:
            cross.slots.clear()  # whose being there says that the encoder was read

    @property
    def is_initialized(self) -> bool:
        """Whether every layer holds something."""
        return bool(self.slots) and all(one.is_initialized for one in self.layers)

    @property
    def is_sliding(self) -> list[bool]:
        """For each layer, whether it keeps a window."""
        return [one.is_sliding for one in self.layers]

    @property
    def is_compileable(self) -> bool:
        """Whether all layers have fixed sizes."""
        return bool(self.slots) and all(one.is_compileable for one in self.layers)

    @property
    def batch_size(self) -> int:
        """Batch rows; -1 while empty."""
        return -1 if (held := self._first()) is None else held.shape[0]

    max_batch_size = batch_size

    @property
    def num_key_value_heads(self) -> int | None:
        """Heads of keys; None while empty."""
        return None if (held := self._first()) is None else held.shape[1]

    @property
    def head_dim(self) -> int | None:
        """Width of a key; None while empty."""
        return None if (held := self._first()) is None else held.shape[3]

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the keys; None while empty."""
        return None if (held := self._first()) is None else held.dtype

    def _first(self) -> Tensor | None:
        """Keys [B, G, S, D] of the first layer of the text that holds some."""
        own = (layer_of(slot).keys for slot in self.slots if not isinstance(slot, Kept))
        return next((held for held in own if held is not None), None)

    def __getattr__(self, name: str) -> Any:
        why = _REFUSED.get(name)
        told = f": {why}" if why else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{told}")
