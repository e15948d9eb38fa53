"""What makes sounds of texts: durations, flows, and what turns spectrograms into waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Vocoder:
    """Waves of spectrograms (Kong et al. 2020, arXiv:2010.05646, section 2.2).

    Attributes:
        read: channels of what is read; `width` of what the first convolution makes of it.
        rates: how many times longer each step makes it, halving the channels; `kernels` their reach.
        block_kernels: reach of the blocks behind every step, whose results are averaged; `block_dilations`
            of their convolutions.
        slope: below zero, of the activations.
        speaker: width of the vector of a speaker; 0 for none.
        bias: of the last convolution.
    """

    kinds: ClassVar[tuple[str, ...]] = ("Conv", "ConvTranspose")

    read: int
    width: int
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    slope: float = 0.1
    speaker: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.kernels):
            raise ValueError(
                f"every step has a rate and a kernel, but there are {len(self.rates)} rates and "
                f"{len(self.kernels)} kernels"
            )
        if len(self.block_kernels) != len(self.block_dilations):
            raise ValueError(
                f"every block has a kernel and dilations, but there are {len(self.block_kernels)} kernels "
                f"and {len(self.block_dilations)} lists of dilations"
            )


@dataclass(frozen=True)
class Gated:
    """Dilated convolutions with gates, each of which adds to one result (arXiv:1609.03499, section 2.3).

    Attributes:
        width: channels.
        layers: how many; the reach of `kernel` grows from one to the next by the factor `dilation`.
        dropout: of what comes out of the gates.
        speaker: width of the vector of a speaker; 0 for none.
    """

    width: int
    layers: int
    kernel: int
    dilation: int = 1
    dropout: float = 0.0
    speaker: int = 0


@dataclass(frozen=True)
class Separable:
    """Convolutions over each channel, then across channels, added to what they read.

    Attributes:
        width: channels.
        layers: how many; the dilation is a power of `kernel`.
    """

    width: int
    layers: int
    kernel: int


@dataclass(frozen=True)
class SplineFlow:
    """Durations drawn through monotonic splines (Kim et al. 2021, arXiv:2106.06103, section 2.2.2).

    Attributes:
        separable: what every flow, and the whole, reads texts by.
        channels: of what flows, half of which tells how the other half is bent.
        flows: how many.
        bins: of a spline; `bound`: beyond it nothing is bent.
        dropout: on what is read of the text.
        speaker: width of the vector of a speaker; 0 for none.
    """

    separable: Separable
    channels: int
    flows: int
    bins: int
    bound: float
    dropout: float = 0.0
    speaker: int = 0


@dataclass(frozen=True)
class Durations:
    """Logarithms of durations by two convolutions (Kim et al. 2021, arXiv:2106.06103, appendix B.1).

    Attributes:
        read: channels of what is read, `width` within.
        kernel: reach.
        eps: of the norms.
        dropout: after each.
        speaker: width of the vector of a speaker; 0 for none.
    """

    read: int
    width: int
    kernel: int
    eps: float = 1e-5
    dropout: float = 0.0
    speaker: int = 0


@dataclass(frozen=True)
class Voice:
    """Speech of states of a text (Kim et al. 2021, arXiv:2106.06103).

    Attributes:
        paths: of `text`, `prior`, `flow`, `vocoder`, `durations`, `speakers` and `posterior`.
        width: channels of the latent spectrogram.
        text: width of the states of the text.
        durations: how long each token lasts.
        flows: how many steps bring what is drawn to a spectrogram; `gated` is what each of them reads by.
        vocoder: makes waves of that.
        posterior: what reads spectrograms in training; `bins` are their channels.
        speakers: how many there are; their vectors have the width that `vocoder.speaker` says.
    """

    paths: Mapping[str, str]
    width: int
    text: int
    durations: SplineFlow | Durations
    flows: int
    gated: Gated
    vocoder: Vocoder
    posterior: Gated
    bins: int
    speakers: int = 1


@dataclass(frozen=True)
class Refined:
    """Frames of a spectrum of states, and what convolutions add to them (Shen et al. 2017, arXiv:1712.05884).

    Attributes:
        width: of the states.
        bins: numbers of a frame; each state makes `factor` frames.
        inner: channels of the convolutions; `depth` how many there are, `kernel` their reach, which is odd.
        dropout: behind each of them.
    """

    width: int
    bins: int
    factor: int
    inner: int
    depth: int
    kernel: int
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(
                f"convolutions that keep the number of frames have an odd reach, not {self.kernel}"
            )


@dataclass(frozen=True)
class UnitVoice:
    """Speech of units (Polyak et al. 2021, arXiv:2104.00355): each lasts as long as two convolutions say.

    Attributes:
        units: how many there are; their vectors have `width` features.
        languages: how many; likewise of `language_width`.
        speakers: how many; likewise of `speaker_width`.
        kernel: reach of the first convolution that tells durations; that of the second is 3 in length.
        dropout: after each.
        vocoder: makes waves of all vectors beside each other.
        padding: the unit that says nothing.
        same: the second convolution has the reach of the first, and keeps the length.
    """

    units: int
    width: int
    languages: int
    language_width: int
    speakers: int
    speaker_width: int
    kernel: int
    dropout: float
    vocoder: Vocoder
    padding: int
    same: bool = False


@dataclass(frozen=True)
class CharacterRows:
    """Rows of a text's tokens, each as long as its letters are said (arXiv:2312.05187, section 4.1).

    Each row is there once for each letter of its token, with vectors of the letter and of its place; then so
    often as two convolutions say, with vectors of those places.

    Attributes:
        letters: how many there are; their vectors have `width` features, times `scale`.
        inner: width within the convolutions; `kernel` is their reach, `dropout` stands behind each.
        padding: places are counted from the number behind it.
    """

    letters: int
    width: int
    scale: float
    inner: int
    kernel: int
    dropout: float
    padding: int
