"""Networks of layers over a grid of places, and what makes masks of their maps for what is pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from formers.nn.spec.nets import Node
from formers.nn.spec.stems import Patches
from formers.nn.spec.values import Paths


@dataclass(frozen=True)
class Feed:
    """Linear layers one after the other, with an activation between them.

    Attributes:
        names: of the layers, first to last; `act_name` of what activates.
        act: which activation.
        squash: what comes out lies between 0 and 1.
    """

    names: tuple[str, ...]
    act: str
    act_name: str
    squash: bool = False


@dataclass(frozen=True)
class GridLayer:
    """Attention over a grid, or within its windows, and a feed-forward, each behind a norm.

    Attributes:
        width: channels; `inner` those within the feed-forward.
        heads: of the attention.
        window: places of a window, down and across; 0 for one that holds the whole grid.
        reach: places down and across that `tables` of distances know (Li et al. 2021, arXiv:2112.01526):
            a query's product with the vector of every distance is added to its scores. None: no tables.
    """

    width: int
    inner: int
    heads: int
    window: int
    reach: tuple[int, int] | None


class OverGrids:
    """What networks over a grid of patches say of themselves."""

    reads: ClassVar[str] = "pixel_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False
    layers: tuple[Any, ...]
    layer_class: str

    @property
    def last_width(self) -> int:
        """Of the last states."""
        width: int = self.layers[-1].width
        return width

    @property
    def layer_classes(self) -> tuple[str, ...]:
        """Nodes that no sharding cuts."""
        return (self.layer_class,)


@dataclass(frozen=True)
class GridLayers(OverGrids):
    """Layers over a grid of patches (Li et al. 2022, arXiv:2203.16527), and a network over their last map.

    Roles: `patch`, `position` [1, H, W, C], `layers`, `neck`; of a layer `attention_norm`, `attention` (a
    node with `qkv`, `o`, and the tables `down` and `across`), `feedforward_norm`, `feedforward`.

    Attributes:
        stem: the patches; its class token is not there.
        layers: what they are.
        feed: how their feed-forwards are made.
        neck: reads the last map, channels last.
        bias: queries, keys and values have one.
        eps: of the norms.
        dropout: of attention weights.
        positions: learned ones are added to the patches.
        names, layer_names: paths of the roles.
        layer_class: name of the layers' class.
        std: deviation of fresh weights.
    """

    stem: Patches
    layers: tuple[GridLayer, ...]
    feed: Feed
    neck: Node
    bias: bool
    eps: float
    dropout: float
    positions: bool
    names: Mapping[str, str]
    layer_names: Paths
    layer_class: str
    std: float = 0.02

    @property
    def width(self) -> int:
        """Of the last map, as those name it who read it."""
        made: list[int] = [part.made for part in self.neck.parts.values() if hasattr(part, "made")]
        return made[-1]

    @property
    def kinds(self) -> list[str]:
        """What it is made of."""
        return ["Patches", "GridLayers", "FeedForward", "pre-layer norm"]


@dataclass(frozen=True)
class Prompts:
    """Points, boxes and masks as vectors and maps (Kirillov et al. 2023, arXiv:2304.02643).

    Roles: `place`, `masked`, `no_mask`, `points`, `no_point`.

    Attributes:
        width: E.
        image: pixels down and across; `grid` places likewise, of the map that is read.
        waves: directions in which sines of places run, E / 2; `scale` is their deviation in a fresh model.
        kinds: of points: no part, a part, two corners of a box.
        mask: the network that reads a mask.
        learns: the directions are trained.
        joint: one table knows all kinds, labels are its rows, and behind a box's corners stands no place.
    """

    width: int
    image: int
    grid: int
    waves: int
    scale: float
    kinds: int
    mask: Node
    names: Mapping[str, str]
    joint: bool = False
    learns: bool = True


@dataclass(frozen=True)
class Pointed:
    """Masks of what prompts point at, by tokens and places that attend to each other.

    Roles: `quality_token`, `mask_tokens`, `two_way`, `layers`, `last`, `last_norm`, `enlarge1`, `enlarge2`,
    `enlarge_norm`, `act`, `mixers`, `quality`; of a layer `own`, `own_norm`, `out`, `out_norm`,
    `feedforward`, `feedforward_norm`, `back`, `back_norm`; of attention `q`, `k`, `v`, `o`.

    Attributes:
        width: E.
        layers: how many, with `heads` and feed-forwards of `inner` channels; attention between tokens and
            places runs in E / `share` channels, that of the last look in E / `last_share`.
        eps: of the layers' norms.
        masks: candidates for every prompt, beside the one for a prompt that leaves no doubt.
        quality: widths of the layers that predict how good masks are.
        layer_feed, feed: how feed-forwards of layers, and all others, are made, the latter of so many layers.
        squash: qualities lie between 0 and 1.
        sharp: finer maps are added while the last is enlarged, and whether anything is there is told. Roles
            `near0`, `near1`, `there_token` and `there` more.
        sure: how far the limit of logits is moved, and the share of a mask that must be left then; else the
            best of several masks stands for the one. None: it always stays.
    """

    width: int
    layers: int
    heads: int
    inner: int
    share: int
    last_share: int
    eps: float
    masks: int
    quality: tuple[int, int]
    layer_feed: Feed
    feed: Any
    names: Mapping[str, str]
    layer_names: Mapping[str, str]
    heads_names: Mapping[str, str]
    squash: bool = False
    sharp: bool = False
    sure: tuple[float, float] | None = None
