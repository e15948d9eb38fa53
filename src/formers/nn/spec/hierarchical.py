"""Stages over maps: each cuts the map before it into overlapping patches and runs layers over them."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.mixers import FeedForward
from formers.nn.spec.mixing import _Neighbourly
from formers.nn.spec.stack import Stack
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class SpatialReduction(_Neighbourly):
    """Attention whose keys and values stand for squares of a map (Wang et al. 2021, arXiv:2102.12122, 3.3).

    Roles beside those of `Attention`, where the ratio is above 1: `reduce`, `reduce_norm`.

    Attributes:
        ratio: edge of the squares.
        reduced_norm: of what stands for a square.
    """

    ratio: int = 1
    reduced_norm: Norm = Norm("layer", 1e-5)


@dataclass(frozen=True)
class MixedFeedForward(FeedForward):
    """A feed-forward that reads its neighbours in a map (Xie et al. 2021, arXiv:2105.15203, section 3.1).

    Role beside those of `FeedForward`: `depthwise`, a convolution behind `up`.

    Attributes:
        kernel: edge of what it reads, odd.
    """

    kernel: int = 3
    by_distance = True
    honours_masks = False
    reads_padding = True
    first_alone = False

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"a convolution reaches equally far on both sides: {self.kernel} is not odd")


@dataclass(frozen=True)
class Stages:
    """Stacks one after the other, each over the map that the one before it made.

    Every stack has an `Overlapping` stem and a final norm. `{i}` in the paths of its names is the stage's
    number; all lie below the node that `names.layers` begins with.

    Attributes:
        stacks: the stages.
        rows: the states of the last one stay [B, T, E] where callers see them.
    """

    stacks: tuple[Stack, ...]
    rows: bool = False
