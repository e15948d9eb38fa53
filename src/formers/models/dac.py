"""DAC, Descript's codec (Kumar et al. 2023, arXiv:2306.06546): sounds as codes, and back."""

from __future__ import annotations

import math
from typing import Any

from formers.assemblies.audio.factored_codec import FactoredCodec
from formers.assemblies.family import Family
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec.codec import SnakeCodec


class DacConfig(PretrainedConfig):
    """Configuration of DAC."""

    model_type = "dac"
    encoder_hidden_size: int = 64
    downsampling_ratios: list[int] = [2, 4, 8, 8]  # noqa: RUF012  (fields declare defaults)
    decoder_hidden_size: int = 1536
    n_codebooks: int = 9
    codebook_size: int = 1024
    codebook_dim: int = 8
    quantizer_dropout: float = 0.0
    commitment_loss_weight: float = 0.25
    codebook_loss_weight: float = 1.0
    sampling_rate: int = 16_000

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.upsampling_ratios = list(reversed(self.downsampling_ratios))
        self.hidden_size = self.encoder_hidden_size * 2 ** len(self.downsampling_ratios)
        self.hop_length = math.prod(self.downsampling_ratios)

    @property
    def frame_rate(self) -> int:
        """Codes of a second."""
        return math.ceil(self.sampling_rate / self.hop_length)


def codec(c: Any) -> SnakeCodec:
    """The whole.

    Raises:
        ValueError: for a codebook of another size than a power of 2.
    """
    if c.codebook_size & (c.codebook_size - 1):
        raise ValueError(f"codebook_size is a power of 2, not {c.codebook_size}")
    return SnakeCodec(
        filters=c.encoder_hidden_size,
        up_filters=c.decoder_hidden_size,
        down=tuple(c.downsampling_ratios),
        up=tuple(c.upsampling_ratios),
        width=c.hidden_size,
        books=c.n_codebooks,
        size=c.codebook_size,
        narrow=c.codebook_dim,
        dropout=c.quantizer_dropout,
        weights=(c.commitment_loss_weight, c.codebook_loss_weight),
    )


DAC = register(
    Family(
        model_type="dac",
        name="Dac",
        config=DacConfig,
        base="dac",
        assembly=FactoredCodec(codec, {"down": "encoder", "up": "decoder", "books": "quantizer"}),
        heads={},
    )
)
