"""Stems of models that hear or read, and write or speak (Ao et al. 2021, arXiv:2110.07205)."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.audio_stems import Waves
from formers.nn.spec.stack import ConvolutionalPositions
from formers.nn.spec.stems import Tokens, Vectors


@dataclass(frozen=True)
class PlacedWaves(Waves):
    """Sounds whose rows have places: a convolution tells what is near, sinusoids where a row stands.

    Roles beside those of `Waves`: `near`, `position`.

    Attributes:
        near: the convolution.
        padding_idx: sinusoids count from the number behind it; where it is 0 no row has one.
    """

    near: ConvolutionalPositions = ConvolutionalPositions(1, 1)
    padding_idx: int = 1


@dataclass(frozen=True)
class WavedTokens(Tokens):
    """Tokens on sinusoids that one learned number scales (Li et al. 2018, arXiv:1809.08895, section 3.2).

    Roles: `token`, `waves`.

    Attributes:
        count: places that there are.
    """

    count: int = 0

    @property
    def room(self) -> int | None:
        """Those."""
        return self.count


@dataclass(frozen=True)
class HeardRows(Vectors):
    """Rows that callers make, as they are."""

    reads = "input_values"


@dataclass(frozen=True)
class GivenRows(HeardRows):
    """The same by the name that rows in place of tokens have."""

    reads = "inputs_embeds"


@dataclass(frozen=True)
class SaidRows(HeardRows):
    """The same for a decoder."""


@dataclass(frozen=True)
class SaidFrames(SaidRows):
    """Frames of a spectrum that were said before, in the voice of a speaker, on scaled sinusoids.

    Roles: `narrow`, a list of layers; `wide`, the layer behind them; `waves`; `speaker`, the layer that reads
    rows beside the vector of a speaker. What comes out of the narrow layers is dropped in evaluation too, the
    same features for all rows of a batch (Shen et al. 2017, arXiv:1712.05884, section 2.2).

    Attributes:
        bins: numbers of a frame.
        inner: width of the narrow layers; `depth` how many there are.
        rate: how much is dropped. As models were trained, that share is what is kept; 0 drops nothing.
        voice: width of the vector of a speaker.
        count: places that there are.
    """

    bins: int = 80
    inner: int = 256
    depth: int = 2
    rate: float = 0.5
    voice: int = 512
    count: int = 4000

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"a share of features to drop is at least 0 and below 1, not {self.rate}")

    @property
    def room(self) -> int | None:  # type: ignore[override]  # vectors have none
        """Places."""
        return self.count
