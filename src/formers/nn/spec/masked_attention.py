"""Queries that attend within the masks that they found so far (Cheng et al. 2021, arXiv:2112.01527)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Heads:
    """Attention of rows of `width` by so many heads; `gain` of fresh matrices, see `fresh.Xavier`."""

    width: int
    heads: int
    dropout: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(
                f"{self.heads} heads cannot share states of width {self.width}: the width in the config has "
                "to be a multiple of the number of heads"
            )


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

    @property
    def attention(self) -> Heads:
        """Of either kind."""
        return Heads(self.width, self.heads, self.dropout, self.gain)


@dataclass(frozen=True)
class TaskedQueries:
    """Queries that a task begins, which ask the pixels first and then as `MaskedQueries` do.

    Jain et al. 2022, arXiv:2211.06220.

    Attributes:
        width, heads, inner, layers, queries, pixels, gain, layer_class, levels: see `MaskedQueries`.
        read: channels of the map of pixels, before masks are read off it.
        labels: how many there are, with the one that says that there is nothing.
        first_layers: how many layers ask the pixels first; `dropout` is theirs.
        norms_first: norms stand before the parts, not behind their sums.
        eps: of norms.
        begins: the task's vector, normed, is what queries begin with; else they begin with zeros.
        told: how many numbers say the task.
        texts: of what is learned beside, or None.
    """

    width: int
    heads: int
    inner: int
    layers: int
    queries: int
    read: int
    pixels: int
    labels: int
    first_layers: int
    dropout: float
    norms_first: bool
    eps: float
    begins: bool
    told: int
    gain: float
    layer_class: str
    texts: Texts | None = None
    levels: int = 3

    @property
    def attention(self) -> Heads:
        """Within the layers that masks guide."""
        return Heads(self.width, self.heads, 0.0, self.gain)

    @property
    def first_attention(self) -> Heads:
        """Within the others."""
        return Heads(self.width, self.heads, self.dropout, self.gain)


@dataclass(frozen=True)
class Texts:
    """What makes vectors of texts, for queries to be compared with.

    Attributes:
        width: of the texts' layers; `inner` of what they become between, `made` of what they become.
        layers: how many layers; `last_layers` of linear ones behind them.
        length: T, tokens of a text.
        vocabulary: V.
        more: vectors that stand beside, for queries without a text.
        eps: of norms.
    """

    width: int
    made: int
    layers: int
    last_layers: int
    length: int
    vocabulary: int
    more: int
    eps: float
