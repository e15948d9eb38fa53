"""Caches of keys, values and states: a list of slots, one for each layer that keeps something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from formers.core.notices import notice, refuse_unknown, suggest_keywords
from formers.nn.cache.layers import AsLayers
from formers.nn.cache.slots import Growing, Hybrid, Kept, Latent, Recurrent, Ring, Slot, Static, made
from formers.nn.cache.spared import Offloaded, OffloadedStatic, Quantized
from formers.nn.spec import SlotSpec

__all__ = [
    "Cache",
    "DynamicCache",
    "EncoderDecoderCache",
    "FalconHybridMambaAttentionDynamicCache",
    "Growing",
    "Hybrid",
    "HybridCache",
    "HybridMambaAttentionDynamicCache",
    "Kept",
    "Latent",
    "Lfm2HybridConvCache",
    "MambaCache",
    "Offloaded",
    "OffloadedStatic",
    "Quantized",
    "QuantizedCache",
    "Qwen3NextDynamicCache",
    "Recurrent",
    "Ring",
    "SlidingWindowCache",
    "Slot",
    "StateCache",
    "Static",
    "StaticCache",
]


class Cache(AsLayers):
    """One slot per layer. `cross` holds the encoder's keys and values, written once.

    So many of the first positions are `before` the text. What follows a prompt with pictures stands `ahead`
    [B, 1] of the number of its tokens.
    """

    before = 0
    ahead: Tensor | None = None

    def __init__(self, slots: Iterable[Slot] = (), cross: Cache | None = None) -> None:
        self.slots = list(slots)
        self.cross = cross

    def begin(self, wanted: SlotSpec | None) -> Slot:
        """An empty slot for a layer that asks for `wanted`."""
        return made(wanted)

    def slot(self, layer: int) -> Slot:
        """The slot of a layer; a missing one is created."""
        while len(self.slots) <= layer:
            self.slots.append(self.begin(None))
        return self.slots[layer]

    def fit(self, wanted: Sequence[SlotSpec | None]) -> Cache:
        """Give every layer of a stack the slot that it asks for; what is held already stays.

        Raises:
            ValueError: when a slot holds keys where the layer keeps a state, or the like.
        """
        for i, spec in enumerate(wanted):
            if i >= len(self.slots):
                self.slots.append(self.begin(spec))
            elif type(self.slots[i]) is Growing and not self.slots[i].length:
                self.slots[i] = made(spec) if spec and spec.kind != "growing" else self.slots[i]
            elif spec is not None and not _serves(self.slots[i], spec):
                if self.slots[i].length:
                    raise ValueError(
                        f"the cache holds a {type(self.slots[i]).__name__} slot for layer {i}, but the model "
                        f"keeps a {spec.kind} one there: it was filled by another model"
                    )
                self.slots[i] = self.begin(spec)
        return self

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, cache_kwargs: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values to a layer's slot and return all of them, [B, G, S, D] each."""
        return self.slot(layer_idx).update(key_states, value_states)[:2]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions of the text seen so far; of a layer that keeps other things, those of the next."""
        for slot in self.slots[layer_idx:]:
            if not isinstance(slot, Kept):
                return slot.length
        return 0

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
        """The older form: per layer a tuple of keys and values (and the encoder's, where there are any).

        Raises:
            ValueError: for what that form cannot tell: a state, or a window that has moved.
        """
        for slot in self.slots:
            held = slot.contents()
            if isinstance(slot, Recurrent | Hybrid) or (held is not None and held[0].shape[2] != slot.length):
                raise ValueError(
                    "tuples of keys and values cannot hold what this cache holds, since it has left out "
                    "positions: pass the cache itself to the next call"
                )
        return tuple(self)

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
        return (self[i] for i in range(len(self.slots)))

    @property
    def self_attention_cache(self) -> Cache:
        """This cache without the encoder's part."""
        return Cache(self.slots)

    @property
    def cross_attention_cache(self) -> Cache:
        """The encoder's part."""
        return self.cross if self.cross is not None else Cache()

    @cross_attention_cache.setter
    def cross_attention_cache(self, value: Cache) -> None:
        self.cross = value

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
        offloading: keep keys and values in the memory of the host; a layer's are copied to its device while
            it reads them.
        offload_only_non_sliding: leave those of windows on the device.
    """

    _offloads, _whole_windows = False, True

    def __init__(
        self,
        ddp_cache_data: Iterable[Iterable[Tensor | None]] | None = None,
        config: Any = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = False,
    ) -> None:
        self._offloads, self._whole_windows = offloading, not offload_only_non_sliding
        super().__init__(self.begin(None) for _ in range(0 if config is None else _depth(config)))
        for i, (keys, values, *_) in enumerate(ddp_cache_data or ()):
            slot = self.slot(i)
            if keys is not None and values is not None:
                slot.update(keys, values)

    def begin(self, wanted: SlotSpec | None) -> Slot:
        """As the layer asks for, on the host where the cache is offloaded."""
        if not self._offloads:
            return made(wanted)
        return spared(wanted, Offloaded, windows=self._whole_windows)


class QuantizedCache(Cache):
    """A cache whose older keys and values are kept in few bits; see `Quantized`.

    Args:
        backend: "quanto" and "hqq" are names of packages that are not needed: whichever is named, the cache
            is quantized by the library itself. None says nothing of it.
        config: the model's config; says nothing that the model would not.
        nbits: 2, 4 (by default) or 8.
        axis_key, axis_value: 0 groups tokens of a channel, -1 or 1 channels of a token. The paper's are the
            defaults: 0 for keys, -1 for values.
        q_group_size: numbers that share a scale.
        residual_length: tokens of a block; fewer are kept as they came.

    Raises:
        ValueError: for another backend, or numbers that make no sense.
    """

    _options: Mapping[str, Any] = {}

    def __init__(
        self,
        backend: str | None = None,
        config: Any = None,
        nbits: int | None = None,
        axis_key: int | None = None,
        axis_value: int | None = None,
        q_group_size: int | None = None,
        residual_length: int | None = None,
    ) -> None:
        if backend not in (None, "quanto", "hqq"):
            raise ValueError(f"the backend of a quantized cache is 'quanto', 'hqq' or None, not {backend!r}")
        if backend is not None:
            notice(
                f"the cache is quantized by this library as KIVI (arXiv:2402.02750) says, not by {backend}"
            )
        names = ("bits", "axis_key", "axis_value", "group", "residual")
        given = (nbits, axis_key, axis_value, q_group_size, residual_length)
        self._options = {n: value for n, value in zip(names, given, strict=True) if value is not None}
        super().__init__([Quantized(**self._options)])  # which checks them

    def begin(self, wanted: SlotSpec | None) -> Slot:
        """Quantized where the layer keeps keys; states stay as they are."""
        return spared(wanted, lambda: Quantized(**self._options))


def spared(wanted: SlotSpec | None, make: Callable[[], Slot], windows: bool = True) -> Slot:
    """An empty slot by `make` where a layer keeps keys (those of windows too); else what it asks for.

    Raises:
        ValueError: for a layer that keeps a state beside its keys.
    """
    kind = "growing" if wanted is None else wanted.kind
    if kind == "hybrid":
        raise ValueError(
            "layers that keep a state beside their keys are neither quantized nor offloaded: leave "
            "cache_implementation out"
        )
    return make() if kind in ("growing", "latent") or (kind == "ring" and windows) else made(wanted)


class StaticCache(Cache):
    """A cache with room for `max_cache_len` positions in every layer, allocated once.

    Args:
        config: the model's config.
        max_cache_len: positions.
        offloading: as of `DynamicCache`.
        offload_only_non_sliding: must stay as it is: all layers have as many positions, and one home.
        options: sizes and places that follow from what is put in.
    """

    def __init__(
        self,
        config: Any = None,
        max_cache_len: int | None = None,
        offloading: bool = False,
        offload_only_non_sliding: bool | None = None,
        **options: Any,
    ) -> None:
        if offload_only_non_sliding is not None and offloading:
            raise ValueError("a StaticCache offloads every layer: leave offload_only_non_sliding out")
        refuse_unknown(options, _FOLLOW, type(self).__name__)
        if config is None or max_cache_len is None:
            raise ValueError("StaticCache needs `config` and `max_cache_len`")
        kind = OffloadedStatic if offloading else Static
        super().__init__(kind(max_cache_len) for _ in range(_depth(config)))

    @property
    def max_cache_len(self) -> int:
        """Positions that there is room for."""
        return self.get_max_cache_shape()


class HybridCache(StaticCache):
    """A static cache under the name of models that have windows too: these keep all positions."""


class SlidingWindowCache(StaticCache):
    """A static cache under the name of models whose every layer has a window; likewise."""


class SizedCache(DynamicCache):
    """A growing cache that is told sizes, as caches of models with states once were.

    Args:
        config: the model's config, which says what each layer keeps.
        batch_size: follows from what is put in.
        options: `max_batch_size`, `device` and `dtype`, which do so too.
    """

    def __init__(self, config: Any, batch_size: int | None = None, **options: Any) -> None:
        refuse_unknown(options, _FOLLOW, type(self).__name__)
        super().__init__(config=config)


# sizes and places of a cache that follow from what is put in
_FOLLOW = ("max_batch_size", "batch_size", "device", "dtype")
# caches of single families
MambaCache = HybridMambaAttentionDynamicCache = FalconHybridMambaAttentionDynamicCache = SizedCache
Lfm2HybridConvCache = Qwen3NextDynamicCache = SizedCache


class EncoderDecoderCache(Cache):
    """A decoder's cache with the encoder's keys and values beside it; both may come in the older form."""

    _own: Cache | None = None

    def __init__(
        self,
        self_attention_cache: Cache | Iterable[Iterable[Tensor]] | None = None,
        cross_attention_cache: Cache | None = None,
    ) -> None:
        if self_attention_cache is not None and not isinstance(self_attention_cache, Cache):
            layers = [tuple(layer) for layer in self_attention_cache]  # of which one may be one tensor
            self_attention_cache = DynamicCache.from_legacy_cache(layers)
            cross_attention_cache = cross_attention_cache or self_attention_cache.cross
        own = self_attention_cache.slots if self_attention_cache is not None else ()
        super().__init__(own, cross_attention_cache if cross_attention_cache is not None else Cache())
        self._own = self_attention_cache

    def begin(self, wanted: SlotSpec | None) -> Slot:
        """As the decoder's cache has it."""
        return made(wanted) if self._own is None else self._own.begin(wanted)


class StateCache(Cache):
    """States of layers, which callers see as tensors of all layers: [B, E, layers] each.

    The first two are the rows that every layer's parts read last; the others are what it remembers.
    """

    _windows, _count = 2, 5

    @classmethod
    def from_legacy_cache(cls, past: Any) -> Cache:
        """Read those tensors.

        Raises:
            TypeError: for anything else.
        """
        parts = list(past) if isinstance(past, list | tuple) else []
        if len(parts) != cls._count or not all(isinstance(t, Tensor) and t.dim() == 3 for t in parts):
            raise TypeError(
                f"state takes what an earlier call returned under that name, or {cls._count} tensors [B, E, "
                f"layers]; not {type(past).__name__} of {len(parts)}"
            )
        cache = cls()
        windows, states = (
            torch.stack(t, dim=1).unbind(-1) for t in (parts[: cls._windows], parts[cls._windows :])
        )
        for window, state in zip(windows, states, strict=True):
            slot = Recurrent()
            slot.remember(window, state, 0)
            cache.slots.append(slot)
        return cache

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int) -> Tensor:  # type: ignore[override]  # of all layers, not of one
        which = range(self._count)[at]
        rows = [slot.contents() for slot in self.slots]
        part, row = (0, which) if which < self._windows else (1, which - self._windows)
        return torch.stack([held[part][:, row] for held in rows if held is not None], dim=-1)

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]  # likewise
        return (self[i] for i in range(self._count))


def _serves(slot: Slot, wanted: SlotSpec) -> bool:
    """Whether what a slot holds may be what a layer keeps; any slot that grows can hold latents."""
    for kind, name in ((Recurrent, "recurrent"), (Hybrid, "hybrid"), (Kept, "kept")):
        if isinstance(slot, kind) or wanted.kind == name:
            return isinstance(slot, kind) and wanted.kind == name
    grows = isinstance(slot, Growing | Quantized)
    return grows if wanted.kind == "latent" else not isinstance(slot, Latent)


def _depth(config: Any) -> int:
    """The number of layers that a cache serves; of an encoder-decoder, the decoder's."""
    names = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
    whole, config = config, getattr(config, "decoder", config)
    depth = next((found for name in names if (found := getattr(config, name, None)) is not None), None)
    if depth is None:
        raise ValueError(f"a cache takes the config of a model, with num_hidden_layers; {whole!r} has none")
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


# -- caches as nodes of a tree of tensors, which torch.export and torch.func take apart ----------------

_KINDS: dict[str, type[Slot]] = {
    kind.__name__: kind
    for kind in (
        Growing,
        Hybrid,
        Kept,
        Latent,
        Offloaded,
        OffloadedStatic,
        Quantized,
        Recurrent,
        Ring,
        Static,
    )
}


def _flatten(cache: Cache) -> tuple[list[Any], list[Any]]:
    """The tensors of every slot by name, and plain facts that JSON knows."""
    tensors, facts = [], []
    for slot in cache.slots:
        state = dict(vars(slot))
        if type(slot) is Growing and (held := slot.contents()) is not None:
            state["keys"], state["values"] = held  # without what is reserved; their length is the slot's
            del state["length"]
        tensors.append({name: value for name, value in state.items() if isinstance(value, Tensor)})
        plain = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
        facts.append([type(slot).__name__, plain])
    return [tensors, [] if cache.cross is None else [cache.cross]], facts


def _register(kind: type[Cache]) -> None:
    def flatten_with_keys(cache: Cache) -> tuple[list[tuple[Any, Any]], list[Any]]:
        (slots, cross), facts = _flatten(cache)
        return [(_pytree.GetAttrKey("slots"), slots), (_pytree.GetAttrKey("cross"), cross)], facts

    def unflatten(values: Iterable[Any], facts: list[Any]) -> Cache:
        slots, cross = values
        cache = kind.__new__(kind)
        Cache.__init__(cache, (), *cross)
        for tensors, (name, plain) in zip(slots, facts, strict=True):
            slot = _KINDS[name].__new__(_KINDS[name])
            vars(slot).update({**plain, **tensors})
            if "length" not in plain:
                slot.length = tensors["keys"].shape[2]
            cache.slots.append(slot)
        return cache

    _pytree.register_pytree_node(
        kind,
        _flatten,
        unflatten,
        serialized_type_name=f"formers.{kind.__name__}",
        flatten_with_keys_fn=flatten_with_keys,
    )


_CACHES: tuple[type[Cache], ...] = (
    *(Cache, DynamicCache, EncoderDecoderCache, HybridCache, QuantizedCache, SizedCache),
    *(SlidingWindowCache, StateCache, StaticCache),
)
for _kind in _CACHES:
    _register(_kind)
