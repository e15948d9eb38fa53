"""Sounds as codes, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Codec:
    """Convolutions down to few vectors, codes of those, convolutions up again (arXiv:2210.13438, section 3).

    Attributes:
        channels: of the sound.
        width: of the vectors that become codes.
        filters: channels of the first convolution; each step down doubles them.
        ratios: how many times longer each step up makes it; the steps down go through them backwards.
        kernel, last_kernel, inner_kernel: reach of the first convolution, of the last, and within units.
        units: how many stand before each step; `growth` of the dilation from one to the next.
        narrows: the share of channels within a unit.
        shortcut: a convolution stands in a unit's sum.
        recurrent: layers of the LSTM between; 0 for none.
        norm: of kernels ("weights"), or of what they make over all channels and times ("sounds"), or "none".
        causal: nothing reads what comes later; else padding stands on both sides.
        padding: "reflect", "constant" or "replicate".
        trim: the share of what a step up makes too long that is cut behind; the rest before.
        books: how many codes stand for a vector, each for what the ones before left over.
        size: vectors in a book.
    """

    channels: int
    width: int
    filters: int
    ratios: tuple[int, ...]
    kernel: int
    last_kernel: int
    inner_kernel: int
    units: int
    growth: int
    narrows: int
    shortcut: bool
    recurrent: int
    norm: Literal["weights", "sounds", "none"]
    causal: bool
    padding: str
    trim: float
    books: int
    size: int
    reads: ClassVar[str] = "input_values"
    attention: ClassVar[None] = None
    decoder: ClassVar[bool] = False
    layer_classes: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ("Conv", "LSTM", "Codebooks")

    def __post_init__(self) -> None:
        if not (self.causal or self.trim == 1.0):
            raise ValueError(
                f"a share of {self.trim} is cut behind causal convolutions alone, not behind these"
            )

    @property
    def last_width(self) -> int:
        """Of the vectors."""
        return self.width


@dataclass(frozen=True)
class SnakeCodec:
    """Convolutions with periodic activations, codes of few numbers (Kumar et al. 2023, arXiv:2306.06546).

    Attributes:
        filters: channels of the first convolution down, which each step doubles.
        up_filters: of the first one up, which each step halves.
        down: how many times shorter each step makes a sound; `up` the same of the steps up.
        width: of the vectors between.
        books: how many codes stand for a vector, each for what the ones before left over.
        size: vectors in a book, of `narrow` numbers each.
        dropout: the share of sounds that are coded by fewer books in training.
        weights: of the losses: how far vectors are from their codes, and codes from vectors.
    """

    filters: int
    up_filters: int
    down: tuple[int, ...]
    up: tuple[int, ...]
    width: int
    books: int
    size: int
    narrow: int
    dropout: float
    weights: tuple[float, float]
    reads: ClassVar[str] = "input_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False
    layer_classes: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ("Conv", "Snake", "Codebooks")

    @property
    def last_width(self) -> int:
        """Of the vectors."""
        return self.width


@dataclass(frozen=True)
class FramedCodec:
    """Convolutions, layers of attention between them and codes (Défossez et al. 2024, arXiv:2410.00037).

    Attributes:
        waves: the convolutions, without an LSTM; its `books` and `size` are those of all codes.
        stride: places of the layers that become one.
        groups: of channels that do not mix where one becomes so many again.
        first: books that say what is said; the others begin again with what is to be coded.
        narrow: width of the vectors that become codes.
    """

    waves: Codec
    stride: int
    groups: int
    first: int
    narrow: int
    reads: ClassVar[str] = "input_values"
    attention: ClassVar[None] = None
    causal: ClassVar[bool] = False
    decoder: ClassVar[bool] = False
    layer_classes: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ("Conv", "Attention", "Codebooks")

    def __post_init__(self) -> None:
        if not 0 < self.first < self.waves.books:
            raise ValueError(
                f"of {self.waves.books} books some, but not all, say what is said "
                f"(num_semantic_quantizers), not {self.first}"
            )

    @property
    def last_width(self) -> int:
        """Of the vectors."""
        return self.waves.width

    @property
    def channels(self) -> int:
        """Of the sound."""
        return self.waves.channels

    @property
    def books(self) -> int:
        """How many there are."""
        return self.waves.books

    @property
    def size(self) -> int:
        """Codes of a book."""
        return self.waves.size
