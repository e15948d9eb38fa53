"""A network of windows that attend within themselves (Liu et al. 2021, arXiv:2103.14030)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from formers.nn.spec.nets import rates
from formers.nn.spec.stems import Patches
from formers.nn.spec.values import Paths


@dataclass(frozen=True)
class Restoring:
    """What makes a network of windows one that restores pictures (Liang et al. 2021, arXiv:2108.10257).

    Its stages keep their grid of single pixels, and add what they read to what a convolution makes of them.
    Pictures are mirrored at two edges, until windows fit.

    Attributes:
        channels: of the pictures.
        mean: of their channels, which is taken off; `scale` multiplies then.
        conv: a record of `spec.nets`, of a stage's last map.
    """

    channels: int
    mean: tuple[float, ...]
    scale: float
    conv: Any


@dataclass(frozen=True)
class Windows:
    """Stages of layers over a grid of patches, whose windows are moved by half in every other layer.

    Roles: of the embeddings `patch`, `embedding_norm`, `mask`, `position`, `embedding_dropout`; of a layer
    `attention_norm`, `attention` (a node, which holds the nodes `mix` and `out`), `feedforward_norm`, the
    nodes `up` and `down`, `drop_path`. `mix` holds `q`, `k`, `v`, `weights_dropout`, the table `bias` and, in
    some files, `index`, the numbers of its rows (or, where they are `scaled`, `sharpness`, a factor for every
    head, and `far`, a network of distances); `up` holds `dense` and `act`, `out` and `down` hold `dense`
    and `dropout`. Between stages `merge`, a node with `merge_norm` and `merged`; `final_norm`, `pooler`. Of
    those that restore, `first` and `closing`, convolutions around the stages, `unpatched`, rows as a map, at
    the end and in every stage, and there `conv` and the node `patched`; the norm lies in that of the patches.

    Attributes:
        stem: the patches; its class token is not there.
        depths: layers of the stages, with so many `heads`.
        window: places of a window, down and across.
        inner: width of feed-forwards over that of what they read.
        act: of feed-forwards.
        bias: queries, keys and values have one.
        eps: of the layers' norms.
        dropout: of what a part makes; `attention_dropout` of weights; `drop_path` of whole images;
            `out_dropout` of what attention makes, where that differs.
        positions: learned ones are added to the patches.
        embeddings, layers, names: paths of the embeddings' roles, within a layer, and of all else.
        classes: names of the nodes' classes, of layers and of stages.
        std: deviation of fresh weights.
        scaled: places of the stages' windows in pretraining, 0 for those of now, of networks in which norms
            stand behind what parts make, scores are cosines, and biases follow from logarithms of distances
            (Liu et al. 2021, arXiv:2111.09883); keys have no bias, and windows are those of the config's
            images whatever is read.
        whole: windows keep their size and are moved also where one holds the whole grid.
        inner_states: hidden states are those before and after every layer, in one tuple for each stage.
        restoring: what is made of patches are patches again.
    """

    stem: Patches
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    inner: float
    act: str
    bias: bool
    eps: float
    dropout: float
    attention_dropout: float
    drop_path: float
    positions: bool
    embeddings: Paths
    layers: Paths
    names: Mapping[str, str]
    classes: tuple[str, str]
    std: float = 0.02
    out_dropout: float | None = None
    scaled: tuple[int, ...] | None = None
    whole: bool = False
    inner_states: bool = False
    restoring: Restoring | None = None
    reads: ClassVar[str] = "pixel_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False

    @property
    def kinds(self) -> list[str]:
        """What it is made of."""
        return ["Patches", "Windows", "FeedForward", "inner layer norm" if self.scaled else "pre-layer norm"]

    @property
    def widths(self) -> list[int]:
        """Of the stages."""
        return [self.stem.width * factor for factor in self.factors]

    @property
    def factors(self) -> list[int]:
        """How much wider and smaller the stages' maps are than the patches'."""
        return [1 if self.restoring else 2**i for i in range(len(self.depths))]

    @property
    def last_width(self) -> int:
        """Of the last states."""
        return self.widths[-1]

    @property
    def layer_classes(self) -> tuple[str, ...]:
        """Nodes that no sharding cuts."""
        return (self.classes[1],)

    @property
    def rates(self) -> list[list[float]]:
        """How often parts are left out, by stage and layer."""
        return rates(self.drop_path, self.depths)
