"""A network of windows that attend within themselves (Liu et al. 2021, arXiv:2103.14030)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from formers.nn.spec.nets import rates
from formers.nn.spec.stems import Patches
from formers.nn.spec.values import Paths


@dataclass(frozen=True)
class Restoration:
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
class Spectra:
    """Spectra as pictures, pieces of time on top of each other, cut into patches.

    They are as high as wide (Chen et al. 2022, arXiv:2202.00874, section 2).

    Roles, of the names of `Windows`: `bins_norm`, a batch norm over bins; the node `patches` with `patch`,
    `embedding_norm` and, where they are fused, `crops` and the node `fusion` with `near`, `far` and `gate`.

    Attributes:
        bins: of a spectrum; `side` of the picture is a multiple.
        side: see there.
        patch: height and width of a patch, `stride` from one to the next.
        width: C.
        channels: spectra of a sound.
        normed: patches have a norm.
        fused: inner width of the layers that weigh a long sound's whole against three crops of it (Wu et al.
            2023, arXiv:2211.06687, section 2.3); 0 where a sound has no crops.
    """

    bins: int
    side: int
    patch: tuple[int, int]
    stride: tuple[int, int]
    width: int
    channels: int = 1
    normed: bool = True
    fused: int = 0
    masked: bool = False
    reads, axes = "input_features", ("spectra", "frames", "bins")

    def __post_init__(self) -> None:
        if self.side % self.bins:
            raise ValueError(f"a picture {self.side} high is no multiple of spectra of {self.bins} bins")
        for patch, step in zip(self.patch, self.stride, strict=True):
            if (self.side + (patch - step) // 2 * 2 - patch) // step + 1 != self.side // step:
                raise ValueError(
                    f"patches of {patch} every {step} do not fill a picture {self.side} high: the difference "
                    f"of the two must be even, and the picture a multiple of the second"
                )
        if self.fused and self.channels != 1:
            raise ValueError(f"crops are fused with one spectrum of a sound, not with {self.channels}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.side // self.stride[0], self.side // self.stride[1]

    @property
    def folds(self) -> int:
        """Pieces of time on top of each other."""
        return self.side // self.bins

    @property
    def length(self) -> int:
        """Frames that are read at most."""
        return self.side * self.folds

    @property
    def given(self) -> int:
        """Spectra that are read of a sound: with its crops, four."""
        return 4 if self.fused else self.channels


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
        stem: the patches; their class token is not there.
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

    stem: Patches | Spectra
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
    restoring: Restoration | None = None
    reads: ClassVar[str] = "pixel_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False

    @property
    def kinds(self) -> list[str]:
        """What it is made of."""
        return [
            type(self.stem).__name__,
            "Windows",
            "FeedForward",
            "inner layer norm" if self.scaled else "pre-layer norm",
        ]

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
