"""Depths as bins, whose centres every pixel has for itself (Bhat et al. 2023, arXiv:2302.12288)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Range:
    """Depths of one kind of pictures: `count` bins, of centres from `least` to `most` metres."""

    count: int
    least: float
    most: float
    name: str = ""


@dataclass(frozen=True)
class Router:
    """What tells the kind of a picture: layers over all places of its smallest map, whose first row is read.

    Attributes:
        width: of rows; `inner` of feed-forwards; `heads`, `layers`.
        dropout: everywhere.
    """

    width: int
    inner: int
    heads: int
    layers: int
    dropout: float = 0.1


@dataclass(frozen=True)
class Bins:
    """A head that says depths in metres.

    Attributes:
        ranges: one for each kind of pictures.
        read: channels of the smallest map; `wide` of the fused ones; `seen` of what relative depths are made
            of; `embedding` of what is said of bins.
        inner: channels between two convolutions; `inner_seed` where the first centres are made.
        attractors: of every fused map.
        kind: what attractors do together.
        bounded: centres lie within their range.
        temperatures: least and largest, of how bins share a pixel.
        shrink: how much narrower what makes shares is inside.
        router: where there are several kinds; else relative depths are read too.
    """

    ranges: tuple[Range, ...]
    read: int
    wide: int
    seen: int
    embedding: int
    inner: int
    inner_seed: int
    attractors: tuple[int, ...]
    kind: Literal["mean", "sum"]
    bounded: bool
    temperatures: tuple[float, float]
    shrink: int
    router: Router | None
    names: Mapping[str, str]
