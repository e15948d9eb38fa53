"""Networks of layers over grids that grow coarser, and maps of one width of what their stages made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from formers.nn.spec.grid_layers import Feed, OverGrids
from formers.nn.spec.values import Paths


@dataclass(frozen=True)
class PooledLayer:
    """Attention over a grid, or within its windows, whose queries may be pooled, and a feed-forward.

    Attributes:
        read: channels of what is read, `width` of what is made, `inner` within the feed-forward.
        heads: of the attention.
        window: places of a window, down and across; 0 for one that holds the whole grid.
        stride: places down and across of which the largest queries stay; 1 for all.

    Raises:
        ValueError: for queries that are pooled in windows which the stride does not divide, or where
            the width stays.
    """

    read: int
    width: int
    inner: int
    heads: int
    window: int
    stride: int

    def __post_init__(self) -> None:
        if self.window % self.stride:
            raise ValueError(
                f"queries of {self.stride} x {self.stride} places become one, but windows have {self.window} "
                "places down and across: take a multiple"
            )
        if self.stride > 1 and self.read == self.width:
            raise ValueError(f"where queries are pooled channels are projected too, but both are {self.read}")


@dataclass(frozen=True)
class PooledGrid(OverGrids):
    """Layers over a grid that grows coarser (Hiera, Ryali et al. 2023, arXiv:2306.00989).

    Places are told by a map that is stretched over the grid, and by one that is laid out window by window
    (Bolya et al. 2023, arXiv:2311.05613).

    Roles: `patch`, `position`, `window`, `layers`; of a layer `attention_norm`, `attention` (a node with
    `qkv` and `o`), `feedforward_norm`, `feedforward`, and `widen` where channels change.

    Attributes:
        channels: of images; `width` of the grid, `patch` the kernel, stride and padding that make it.
        background: places of the map that is stretched; `side` those of one that is laid out.
        layers: what they are; `ends` the numbers of the last ones of stages.
        feed: how their feed-forwards are made.
        eps: of the norms.
        names, layer_names: paths of the roles.
        layer_class: name of the layers' class.
        std: deviation of fresh weights.
    """

    channels: int
    width: int
    patch: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    background: tuple[int, int]
    side: int
    layers: tuple[PooledLayer, ...]
    ends: tuple[int, ...]
    feed: Feed
    eps: float
    names: Mapping[str, str]
    layer_names: Paths
    layer_class: str
    std: float = 0.02

    @property
    def kinds(self) -> list[str]:
        """What it is made of."""
        return ["Patches", "PooledGrid", "FeedForward", "pre-layer norm"]


@dataclass(frozen=True)
class Pyramid:
    """Maps of one width of all stages, the coarser added to the finer (Lin et al. 2017, arXiv:1612.03144).

    Roles: `convs`, the coarsest stage's first, and `places`.

    Attributes:
        reads: channels of the stages' maps, the coarsest first; `width` of what is made.
        kernel, stride, padding: of the convolutions.
        added: numbers of stages to which the coarser map is added.
        kept: how many of the finest are returned.
        names: paths of the roles.
    """

    reads: tuple[int, ...]
    width: int
    kernel: int
    stride: int
    padding: int
    added: tuple[int, ...]
    kept: int
    names: Mapping[str, str]
