"""Blocks of layers that read fewer places than those before them, and their attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from formers.nn.spec.attention import Attention
from formers.nn.spec.layers import Layer
from formers.nn.spec.stack import Stack
from formers.nn.spec.values import SlotSpec


@dataclass(frozen=True)
class Pooled(Attention):
    """Attention by contents, distances and segments, whose queries may stand farther apart than keys.

    Dai et al. 2020, arXiv:2006.03236, sections 2.2 and A.2. Roles: `q` without a bias, `k`, `v`, `o`; `r` [E,
    H, D]; `content_bias`, `distance_bias`, `segment_bias` [H, D]; `segment` [2, H, D], for another segment
    and for the same one.

    Attributes:
        lone: the first place and the others see each other's contents alone.
        common: tokens of this segment are in every segment.
        bound: fresh values of its tensors lie evenly between 0 and this.
    """

    lone: bool = False
    common: int = 2
    bound: float = 0.1

    @property
    def by_distance(self) -> bool:
        """Distances count columns."""
        return True

    @property
    def honours_masks(self) -> bool:
        """No: a mask is pooled too."""
        return False

    @property
    def reads_padding(self) -> bool:
        """A place may stand for a token and for padding."""
        return True

    @property
    def slot(self) -> SlotSpec | None:
        """Nothing: no decoder has it."""
        return None

    @property
    def first_alone(self) -> bool:
        """Distances are in the scores."""
        return False


@dataclass(frozen=True)
class Funnel:
    """Blocks of layers, each of which reads half as many places as the one before it (ibid., section 2).

    Layers over all tokens may follow: they read, for every token, the sum of what its place became and of a
    state from the first block.

    Attributes:
        first: the stem, the names of what is in every layer, all `layers` in order.
        blocks: how many layers each block has; those that are left are over all tokens.
        repeats: how often each layer of a block runs.
        paths: `blocks` and `last`, lists of layers; `sine_dropout` and `cosine_dropout`, beside either.
        pool: what two places become.
        lone: the first token is no part of a pair.
        cut: then the last place is left out, so that an even number stays even.
        queries: the first layer of a block reads pooled queries, and keys and values that are not pooled.
        factors: sines and cosines of distances are products of those of queries and keys.
        dropout: on sines and cosines.
    """

    first: Stack
    blocks: tuple[int, ...]
    repeats: tuple[int, ...]
    paths: Mapping[str, str]
    pool: Literal["mean", "max"] = "mean"
    lone: bool = True
    cut: bool = True
    queries: bool = True
    factors: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        layers, count = len(self.first.layers), sum(self.blocks)
        if not self.blocks or min(self.blocks) < 1 or count > layers:
            raise ValueError(f"blocks of {list(self.blocks)} layers cannot be made of {layers} layers")
        if len(self.repeats) != len(self.blocks) or min(self.repeats) < 1:
            raise ValueError(
                f"every one of {len(self.blocks)} blocks runs its layers once at least, not "
                f"{list(self.repeats)} times"
            )

    def layers(self, block: int) -> tuple[Layer, ...]:
        """Those of a block; of one more than there are, those over all tokens."""
        start = sum(self.blocks[:block])
        stop = start + self.blocks[block] if block < len(self.blocks) else None
        return self.first.layers[start:stop]
