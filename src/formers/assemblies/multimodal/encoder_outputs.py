"""What was made of pictures before, handed in again: `mm_encoder_outputs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import BaseModelOutputWithPooling

SEEN = "mm_encoder_outputs"
_KINDS = ("image", "video", "audio")


def seen_before(given: Mapping[str, Any], kind: str = "image", values: str = "pixel_values") -> Any:
    """The record of what was made of one kind before; None where nothing is handed in.

    A tensor in place of a dictionary is what stands for pictures, as older code has it.

    Raises:
        TypeError: for what is no dictionary of records.
        ValueError: for another kind, and where `values` are given too.
    """
    record = _records(given.get(SEEN)).get(kind)
    if record is None:
        return None
    if given.get(values) is not None:
        raise ValueError(f"give one of {values} and {SEEN}")
    return record


def _records(seen: Any) -> Mapping[str, Any]:
    """By kind."""
    if seen is None:
        return {}
    if isinstance(seen, Tensor):
        return {"image": BaseModelOutputWithPooling(pooler_output=seen)}
    form = f"{SEEN} is a dictionary such as {{'image': model.get_image_features(...)}}"
    if not isinstance(seen, Mapping):
        raise TypeError(f"{form}, or what stands for pictures as a tensor; not {type(seen).__name__}")
    other = [name for name in seen if name not in _KINDS]
    if other:
        raise ValueError(f"{form}: its keys are among {', '.join(_KINDS)}, not {other[0]!r}")
    for name, one in seen.items():
        if one is not None and getattr(one, "pooler_output", None) is None:
            raise TypeError(f"{form}, a record with a pooler_output; {name!r} is {type(one).__name__}")
    return seen


def rows_seen(record: Any) -> Tensor:
    """What stands for all pictures of a record, [N, E]."""
    rows = record.pooler_output
    return rows.flatten(0, -2) if isinstance(rows, Tensor) else torch.cat(tuple(rows))


def picked(
    seen: Any, tokens: Mapping[str, int], ids: Tensor, which: Callable[..., list[int]]
) -> dict[str, Any] | None:
    """The records with those pictures alone that `which` names, or None where those are none.

    Args:
        seen: what was handed in.
        tokens: kind -> id of the places that it takes.
        ids: [B, T], the texts.
        which: places of a kind [B, T], and how many each of its pictures fills -> which pictures.
    """
    found = dict[str, Any]()
    for kind, record in _records(seen).items():
        if record is None or kind not in tokens:
            continue
        rows = record.pooler_output
        kept = which(ids == tokens[kind], [prod(one.shape[:-1]) for one in rows])
        if kept:
            found[kind] = _of(record, kept)
    return found or None


def _of(record: Any, kept: list[int]) -> Any:
    rows = record.pooler_output
    changed = {"pooler_output": rows[kept] if isinstance(rows, Tensor) else [rows[i] for i in kept]}
    deeper = getattr(record, "deepstack_features", None)
    if deeper:
        changed["deepstack_features"] = [[one[i] for i in kept] for one in deeper]
    return replace(record, **changed)
