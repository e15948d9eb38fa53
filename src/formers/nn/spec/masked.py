"""Queries that attend within the masks that they found so far (Cheng et al. 2021, arXiv:2112.01527)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MaskedQueries:
    """Layers of queries, each of which asks one of several maps by turns, where its mask is.

    Attributes:
        width: E, of queries; `heads`, H; `inner`, width of feed-forwards.
        layers: how many there are.
        queries: Q.
        read: channels of the maps.
        pixels: channels of the map that masks are read off.
        act: of feed-forwards.
        dropout: of what parts make, of weights, and how often a layer is left out.
        norms_first: norms stand before the parts, not behind their sums.
        projects: maps are projected also where they are as wide as queries.
        gain: of fresh matrices, see `fresh.Xavier`.
        levels: how many maps are asked.
        names: role -> path; of `layer` within a layer.
    """

    width: int
    heads: int
    inner: int
    layers: int
    queries: int
    read: int
    pixels: int
    act: str
    dropout: float
    norms_first: bool
    projects: bool
    gain: float
    layer: Mapping[str, str]
    layer_class: str
    levels: int = 3
