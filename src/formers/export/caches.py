"""Caches as inputs and outputs of graphs: `past_key_values.0.key` in, `present.0.key` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from formers.export.samples import Axes
from formers.nn.cache import Cache
from formers.nn.cache.pool import Shared
from formers.nn.cache.slots import Growing

PAST, PRESENT = "past_key_values", "present"
_PARTS = ("key", "value")
_KEPT = frozenset({"growing", "ring"})  # kinds of slots that are keys and values


def keeps_keys(model: object) -> bool:
    """Whether all that a model keeps between calls are keys and values, as a graph can take them."""
    assembly, config = getattr(model, "_assembly", None), getattr(model, "config", None)
    if assembly is None or assembly.cache != "past_key_values":
        return False
    slots = getattr(assembly.spec(config), "slots", ())
    return bool(slots) and all(slot is None or slot.kind in _KEPT for slot in slots)


def names_of(cache: Cache, prefix: str, whole: bool) -> list[tuple[str, Tensor]]:
    """The tensors of a cache by name; those of an encoder beside a decoder's where there are any.

    Args:
        cache: filled.
        prefix: `PAST` or `PRESENT`.
        whole: the encoder's too, as an encoder-decoder has them.
    """
    found = []
    for i, layer in enumerate(cache):
        own = [f"{prefix}.{i}.{'decoder.' if cache.cross is not None else ''}{part}" for part in _PARTS]
        other = [f"{prefix}.{i}.encoder.{part}" for part in _PARTS]
        for name, value in zip((*own, *other), layer, strict=False):
            if whole or ".encoder." not in name:
                found.append((name, value))
    return found


def axes_of(name: str) -> Axes:
    """What the axes of a cache's tensor are called."""
    held = "encoder_sequence_length" if ".encoder." in name else "past_sequence_length"
    return ("batch_size", "num_heads", held, "head_width")


def cache_of(given: Mapping[str, Tensor], prefix: str = PAST) -> Cache:
    """A cache of those of the tensors that are one's; layers that keep nothing have an empty slot."""
    cache, lengths = Cache(), dict[bool, int]()
    for name, key in given.items():
        if not (name.startswith(f"{prefix}.") and name.endswith(".key")):
            continue
        layer, *part = name.removeprefix(f"{prefix}.").split(".")[:-1]
        value, across = given[f"{name[:-3]}value"], part == ["encoder"]
        length = lengths.setdefault(across, key.shape[2])
        for held in (key, value):  # so that a graph knows that all layers hold as many
            torch._check(held.shape[2] == length)  # type: ignore[no-untyped-call]  # torch does not type it
        if across:
            cache.cross = cache.cross if cache.cross is not None else Cache()
        place(cache.cross if across else cache, int(layer), key, value)
    return cache


def place(cache: Cache | None, layer: int, keys: Tensor, values: Tensor) -> None:
    """Let a layer hold those keys and values, [B, G, S, D] each, and nothing else."""
    assert cache is not None
    slot = Growing()
    slot.keys, slot.values, slot.length = keys, values, keys.shape[2]
    cache.slot(layer)
    cache.slots[layer] = slot


def put(cache: Cache, present: Iterable[tuple[str, Tensor]]) -> Cache:
    """Let a cache hold what a graph returned under `present.`; what it did not return stays.

    Slots of rows that come and go (`nn/cache/pool.py`) stay too, and get the columns that are new.
    """
    found = cache_of(dict(present), PRESENT)
    for i, slot in enumerate(found.slots):
        kept, made = cache.slot(i), slot.contents()
        if isinstance(kept, Shared) and made is not None:
            held = kept.contents()
            before = 0 if held is None else held[0].shape[2]
            kept.update(made[0][:, :, before:], made[1][:, :, before:])
        else:
            cache.slots[i] = slot
    if found.cross is not None:
        cache.cross = found.cross
    return cache
