"""What enters the first layer of models that hear: samples, spectra, bands.

Stems for spectra say by `axes` how an input is laid out behind its batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any


def stepped(places: Any, kernels: Sequence[int], strides: Sequence[int]) -> Any:
    """How many places convolutions without padding make of so many; of a number or a tensor."""
    for kernel, stride in zip(kernels, strides, strict=True):
        places = (places - kernel) // stride + 1
    return places


@dataclass(frozen=True)
class Spans:
    """Spans of an axis that are hidden in training (Park et al. 2019, arXiv:1904.08779, section 2).

    Attributes:
        share: of the axis that is hidden, where spans do not overlap.
        length: of a span.
        least: how many there are at least.
    """

    share: float
    length: int
    least: int = 0


@dataclass(frozen=True)
class Frames:
    """A stem for sounds: frames of a spectrum, read by convolutions along time, at fixed positions.

    Roles: `conv_0`, `conv_1`, ..; `position`, a table of sinusoids that is not trained.

    Attributes:
        bins: numbers of a frame.
        width: E.
        count: T, rows that come out: every input has as many frames as give that many.
        strides: of the convolutions, in order.
        kernel: their reach.
        activation: after each of them.
        dropout: on the result.
        hidden: spans of frames that are silenced in training; `hidden_bins` spans of bins.
        masked: the mask is over the rows, [B, T], and what it hides is not read.
    """

    bins: int
    width: int
    count: int
    strides: tuple[int, ...] = (1, 2)
    kernel: int = 3
    activation: str = "gelu"
    dropout: float = 0.0
    hidden: Spans | None = None
    hidden_bins: Spans | None = None
    masked: bool = False
    reads, axes = "input_features", ("bins", "frames")

    @property
    def length(self) -> int:
        """Frames of an input."""
        return self.count * prod(self.strides)

    def rows(self, frames: Any) -> Any:
        """How many rows hold any of so many frames; of a number or a tensor."""
        for stride in self.strides:
            frames = (frames - 1) // stride + 1
        return frames


@dataclass(frozen=True)
class GatedSubsampling:
    """A stem for sounds of any length: frames, read by gated convolutions that leave out every other one.

    Synnaeve et al. 2019, arXiv:1911.08460. Roles: `thinning`, a module of the convolutions; `position`.

    Attributes:
        bins: numbers of a frame.
        width: E.
        kernels: reach of each convolution.
        inner: width of what those but the last make, before the gates halve it.
        scale: factor on the result.
        padding_idx: sinusoids count from the number behind it, and padding has none.
        dropout: on the sum.
    """

    bins: int
    width: int
    kernels: tuple[int, ...]
    inner: int
    scale: float = 1.0
    padding_idx: int = 1
    dropout: float = 0.0
    reads, axes = "input_features", ("frames", "bins")

    def rows(self, frames: Any) -> Any:
        """How many rows so many frames make; of a number or a tensor."""
        for _ in self.kernels:
            frames = (frames - 1) // 2 + 1
        return frames


@dataclass(frozen=True)
class RawSamples:
    """A stem for sounds of any length: samples, read by three convolutions and a norm over the whole sound.

    Jeffries et al. 2024, arXiv:2410.15608, section 3.1. The first convolution is as wide as the rows, the
    second twice that. Roles: `conv_0`, `conv_1`, `conv_2`, `conv_norm` behind the first.

    Attributes:
        width: E.
        kernels: reach of each convolution; `strides` its steps.
        eps: of the norm.
    """

    width: int
    kernels: tuple[int, ...] = (127, 7, 3)
    strides: tuple[int, ...] = (64, 3, 2)
    eps: float = 1e-5
    reads = "input_values"

    def rows(self, samples: Any) -> Any:
        """How many rows so many samples make; of a number or a tensor."""
        return stepped(samples, self.kernels, self.strides)


@dataclass(frozen=True)
class Waves:
    """A stem for sounds: samples, read by convolutions along time that make ever longer steps.

    Baevski et al. 2020, arXiv:2006.11477, section 2. Roles: `features`, a module of the convolutions;
    `projection`, one of a norm and a linear layer; `mask`, what stands in place of hidden rows.

    Attributes:
        widths: of what each convolution makes; `kernels` their reach, `strides` their steps.
        width: E.
        each: every convolution has a norm over its features; else the first has one over time.
        bias: of the convolutions.
        eps: of the norms.
        activation: after each convolution.
        dropout: on what is projected.
        hidden: spans of rows that are replaced in training; `hidden_features` spans of features; `masked`
            whether there is something to replace them.
        normed: a norm stands before the projection.
        apart: that norm, the linear layer (where features are not E wide already) and the dropout are no
            module, but lie by themselves: roles `features_norm`, `features_projection`, `features_dropout`.
        projected: there is a projection; if it `tells`, what it read is returned beside the states.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    each: bool = False
    bias: bool = False
    eps: float = 1e-5
    activation: str = "gelu"
    dropout: float = 0.0
    hidden: Spans | None = None
    hidden_features: Spans | None = None
    masked: bool = False
    normed: bool = True
    apart: bool = False
    projected: bool = True
    tells: bool = True
    reads = "input_values"

    def rows(self, samples: Any) -> Any:
        """How many rows so many samples make; of a number or a tensor."""
        return stepped(samples, self.kernels, self.strides)


@dataclass(frozen=True)
class Bands(Waves):
    """A stem for sounds whose features were made before: frames of filter banks, `widths[0]` wide, projected.

    Roles: `features_projection`, `mask`. There are no convolutions.
    """

    reads, axes = "input_features", ("frames", "bins")

    @property
    def bins(self) -> int:
        """Numbers of a frame."""
        return self.widths[0]


@dataclass(frozen=True)
class StridedSpectra:
    """A stem for spectra of any length: convolutions over time and bins in steps, and a linear layer.

    Rekesh et al. 2023, arXiv:2305.05084, section 2. All convolutions but the first read channel by channel,
    with one over single places behind them. Role: `strided`, a module of them.

    Attributes:
        bins: numbers of a frame.
        width: E.
        channels: of every convolution.
        count: of those that take steps.
        kernel: their reach in time and bins, `stride` their step.
        scale: factor on the result.
        dropout: on that.
    """

    bins: int
    width: int
    channels: int
    count: int
    kernel: int = 3
    stride: int = 2
    scale: float = 1.0
    dropout: float = 0.0
    reads, axes = "input_features", ("frames", "bins")

    def fewer(self, frames: Any) -> Any:
        """How many frames one convolution makes of so many; of a number or a tensor."""
        return (frames + 2 * ((self.kernel - 1) // 2) - self.kernel) // self.stride + 1

    def rows(self, frames: Any) -> Any:
        """How many rows so many frames make; of a number or a tensor."""
        for _ in range(self.count):
            frames = self.fewer(frames)
        return frames


@dataclass(frozen=True)
class StandardisedSpectra(StridedSpectra):
    """Likewise of numbers less their mean and over their deviation, both fixed; padding is read.

    Roles: `standard`, a module of both, which says which rows are real (`REAL_ROWS`); `strided`.

    Attributes:
        activation: behind every convolution.
        span: rows of a longer sound are cut into spans of so many, each a sequence by itself.
    """

    activation: str = "relu"
    span: int = 500
    reads = "hidden_states"

    def spans(self, rows: int) -> tuple[int, int]:
        """How many sequences so many rows become, and of how many rows each."""
        return (1, rows) if rows <= self.span else (-(-rows // self.span), self.span)
