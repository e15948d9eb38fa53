"""Key/value caches: a list of slots, one per layer, each of a kind that the layer's mask asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from formers.core.notices import refuse_unknown, suggest_keywords

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


class Growing(Slot):
    """Everything ever seen, in storage that grows by blocks; `capacity` tokens are reserved at once."""

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = capacity
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append; while gradients are recorded the storage is not written in place."""
        end = self.length + keys.shape[2]
        if torch.is_grad_enabled() and (keys.requires_grad or self._tracked()):
            held = self.contents()
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
        """Keep the given batch rows."""
        if self.keys is not None and self.values is not None:
            self.keys = self.keys.index_select(0, rows)
            self.values = self.values.index_select(0, rows)

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


class Static(Growing):
    """A fixed number of positions, allocated at the first update; more is an error."""

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


class Cache:
    """One slot per layer. `cross` holds the encoder's keys and values, written once."""

    def __init__(self, slots: Iterable[Slot] = (), cross: Cache | None = None) -> None:
        self.slots = list(slots)
        self.cross = cross

    def slot(self, layer: int) -> Slot:
        """The slot of a layer; a missing one is created."""
        while len(self.slots) <= layer:
            self.slots.append(Growing())
        return self.slots[layer]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values to a layer's slot and return all of them, [B, G, S, D] each."""
        return self.slot(layer_idx).update(key_states, value_states)[:2]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions seen so far."""
        return self.slots[layer_idx].length if layer_idx < len(self.slots) else 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the batch rows `beam_idx` in every layer."""
        for slot in self.slots:
            slot.reorder(beam_idx)
        if self.cross is not None:
            self.cross.reorder_cache(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the batch rows `indices` ([B'], int64) in every layer, in that order."""
        self.reorder_cache(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Let every batch row stand `repeats` times in a row: [B, G, S, D] -> [B * repeats, G, S, D]."""
        for slot in self.slots:
            held = slot.contents()
            if held is not None:
                rows = torch.arange(held[0].shape[0], device=held[0].device)
                slot.reorder(rows.repeat_interleave(repeats))
        if self.cross is not None:
            self.cross.batch_repeat_interleave(repeats)

    def crop(self, max_length: int) -> None:
        """Forget all but the first `max_length` positions; a negative number counts from the end."""
        for slot in self.slots:
            slot.crop(max_length)

    def to_legacy_cache(self) -> tuple[tuple[Tensor, ...], ...]:
        """The older form: per layer a tuple of keys and values (and the encoder's, where there are any)."""
        return tuple(self[i] for i in range(len(self.slots)))

    @classmethod
    def from_legacy_cache(cls, past: Iterable[Iterable[Tensor]] | None) -> Cache:
        """Read the older form.

        Raises:
            TypeError: for anything else, such as the cache of another library.
        """
        cache = cls()
        for i, entry in enumerate(_legacy_layers(past)):
            keys, values, *encoder = entry or (None, None)
            slot = cache.slot(i)
            if keys is not None and values is not None:  # an empty layer keeps its place
                slot.update(keys, values)
            if encoder:
                cache.cross = cache.cross or Cache()
                cache.cross.slot(i).update(*encoder)
        return cache

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, layer: int) -> tuple[Tensor, ...]:
        own = self.slots[layer].contents() or ()
        other = self.cross.slots[layer].contents() if self.cross and len(self.cross) > layer else None
        return (*own, *(other or ()))

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return iter(self.to_legacy_cache())

    @property
    def self_attention_cache(self) -> Cache:
        """This cache without the encoder's part."""
        return Cache(self.slots)

    @property
    def cross_attention_cache(self) -> Cache:
        """The encoder's part."""
        return self.cross if self.cross is not None else Cache()

    @property
    def is_updated(self) -> dict[int, bool]:
        """For each layer, whether the encoder's keys are held already."""
        return {i: bool(self.cross and len(self.cross) > i) for i in range(len(self.slots))}


@suggest_keywords
class DynamicCache(Cache):
    """A cache that grows with the sequence.

    Args:
        ddp_cache_data: keys and values per layer, [B, G, S, D] each, to begin with.
        config: the model's config; gives every layer its slot at once.
        offloading: must be False, since keys and values stay on the device of the model.
        offload_only_non_sliding: says nothing while nothing is offloaded.

    Raises:
        ValueError: for `offloading=True`.
    """

    def __init__(
        self,
        ddp_cache_data: Iterable[Iterable[Tensor | None]] | None = None,
        config: Any = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = False,
    ) -> None:
        if offloading:
            raise ValueError(
                "DynamicCache keeps keys and values on the model's device; offloading=True is not offered: "
                "leave it out, and use a shorter context or half precision where memory is short"
            )
        super().__init__(Growing() for _ in range(0 if config is None else _depth(config)))
        for i, (keys, values, *_) in enumerate(ddp_cache_data or ()):
            slot = self.slot(i)
            if keys is not None and values is not None:
                slot.update(keys, values)


class StaticCache(Cache):
    """A cache with room for `max_cache_len` positions in every layer, allocated once."""

    def __init__(self, config: Any = None, max_cache_len: int | None = None, **options: Any) -> None:
        refuse_unknown(options, ("max_batch_size", "batch_size", "device", "dtype"), "StaticCache")
        if config is None or max_cache_len is None:
            raise ValueError("StaticCache needs `config` and `max_cache_len`")
        super().__init__(Static(max_cache_len) for _ in range(_depth(config)))


class EncoderDecoderCache(Cache):
    """A decoder's cache with the encoder's keys and values beside it."""

    def __init__(
        self, self_attention_cache: Cache | None = None, cross_attention_cache: Cache | None = None
    ) -> None:
        own = self_attention_cache.slots if self_attention_cache is not None else ()
        super().__init__(own, cross_attention_cache if cross_attention_cache is not None else Cache())


def _depth(config: Any) -> int:
    """The number of layers that a cache serves; of an encoder-decoder, the decoder's."""
    names = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
    depth = next((found for name in names if (found := getattr(config, name, None)) is not None), None)
    if depth is None:
        raise ValueError(f"a cache takes the config of a model, with num_hidden_layers; {config!r} has none")
    return int(depth)


def _legacy_layers(past: Any) -> list[tuple[Any, ...]]:
    """The entries of a tuple of tuples, one per layer: nothing, or two or four tensors."""
    # not any iterable: caches of other libraries are some, and may iterate over nothing
    known = past is None or isinstance(past, list | tuple | Iterator | Cache)
    layers: list[Any] = list(past or ()) if known else []
    good = known and all(
        isinstance(entry, list | tuple)
        and len(entry) in (0, 2, 4)
        and all(isinstance(part, Tensor) for part in entry)
        for entry in layers
    )
    if not good:
        kind = type(past)
        raise TypeError(
            "past_key_values takes a cache of this library (DynamicCache, StaticCache, EncoderDecoderCache) "
            "or, per layer, a tuple of two tensors (four with the encoder's); "
            f"not a {kind.__module__}.{kind.__qualname__}. "
            "Keys and values of another library's cache go into "
            "DynamicCache([(layer.keys, layer.values) for layer in cache.layers])"
        )
    return [tuple(entry) for entry in layers]
