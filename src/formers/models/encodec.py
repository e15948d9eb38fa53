"""EnCodec (Défossez et al. 2022, arXiv:2210.13438): sounds as codes, and back."""

from __future__ import annotations

import math
from typing import Any

from formers.assemblies.audio.codec import ChunkedCodec
from formers.assemblies.family import Family
from formers.configs import PretrainedConfig
from formers.models.hubert import RENAMES
from formers.models.registry import register
from formers.nn.spec.codec import Codec


class EncodecConfig(PretrainedConfig):
    """Configuration of EnCodec."""

    model_type = "encodec"
    target_bandwidths: list[float] = [1.5, 3.0, 6.0, 12.0, 24.0]  # noqa: RUF012  (fields declare defaults)
    sampling_rate: int = 24_000
    audio_channels: int = 1
    normalize: bool = False
    chunk_length_s: float | None = None
    overlap: float | None = None
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: list[int] = [8, 5, 4, 2]  # noqa: RUF012
    norm_type: str = "weight_norm"
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.codebook_dim is None:
            self.codebook_dim = self.hidden_size

    @property
    def chunk_length(self) -> int | None:
        """Samples of a chunk; None where a sound is one."""
        return None if self.chunk_length_s is None else int(self.chunk_length_s * self.sampling_rate)

    @property
    def chunk_stride(self) -> int | None:
        """Samples from one chunk to the next."""
        if self.chunk_length is None or self.overlap is None:
            return None
        return max(1, int((1.0 - self.overlap) * self.chunk_length))

    @property
    def hop_length(self) -> int:
        """Samples from one code to the next."""
        return math.prod(self.upsampling_ratios)

    @property
    def codebook_nbits(self) -> int:
        """Bits of a code."""
        return math.ceil(math.log2(self.codebook_size))

    @property
    def frame_rate(self) -> int:
        """Codes of a second."""
        return math.ceil(self.sampling_rate / self.hop_length)

    @property
    def num_quantizers(self) -> int:
        """How many books the largest bandwidth needs."""
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * self.codebook_nbits))


_NORMS = {"weight_norm": "weights", "time_group_norm": "sounds"}


def codec(c: Any) -> Codec:
    """The whole.

    Raises:
        ValueError: for unknown norms, and sizes that do not fit each other.
    """
    if c.norm_type not in _NORMS:
        raise ValueError(f"norm_type is weight_norm or time_group_norm, not {c.norm_type!r}")
    if c.codebook_size & (c.codebook_size - 1) or c.codebook_dim != c.hidden_size:
        raise ValueError(
            f"codebook_size is a power of 2, and codebook_dim is hidden_size, but they are "
            f"{c.codebook_size}, {c.codebook_dim} and {c.hidden_size}"
        )
    return waves(c, c.num_lstm_layers, _NORMS[c.norm_type])


def waves(c: Any, recurrent: int, norm: Any) -> Codec:
    """Its convolutions, with so many layers of an LSTM between, and that kind of norm."""
    return Codec(
        channels=c.audio_channels,
        width=c.hidden_size,
        filters=c.num_filters,
        ratios=tuple(c.upsampling_ratios),
        kernel=c.kernel_size,
        last_kernel=c.last_kernel_size,
        inner_kernel=c.residual_kernel_size,
        units=c.num_residual_layers,
        growth=c.dilation_growth_rate,
        narrows=c.compress,
        shortcut=c.use_conv_shortcut,
        recurrent=recurrent,
        norm=norm,
        causal=c.use_causal_conv,
        padding=c.pad_mode,
        trim=c.trim_right_ratio,
        books=c.num_quantizers,
        size=c.codebook_size,
    )


ENCODEC = register(
    Family(
        model_type="encodec",
        name="Encodec",
        config=EncodecConfig,
        base="encodec",
        assembly=ChunkedCodec(codec, {"down": "encoder", "up": "decoder", "books": "quantizer"}),
        heads={},
        renames=RENAMES,
    )
)
