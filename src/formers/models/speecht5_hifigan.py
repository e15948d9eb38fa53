"""SpeechT5's vocoder, HiFi-GAN (Kong et al. 2020, arXiv:2010.05646)."""

from __future__ import annotations

from typing import Any

from formers.assemblies.audio.vocoder import VocoderModel
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec.speech_synthesis import Vocoder


class SpeechT5HifiGanConfig(PretrainedConfig):
    """Configuration of the vocoder."""

    model_type = "speecht5_hifigan"
    model_in_dim: int = 80
    sampling_rate: int = 16000
    upsample_initial_channel: int = 512
    upsample_rates: list[int] = [4, 4, 4, 4]  # noqa: RUF012  (fields declare defaults)
    upsample_kernel_sizes: list[int] = [8, 8, 8, 8]  # noqa: RUF012
    resblock_kernel_sizes: list[int] = [3, 7, 11]  # noqa: RUF012
    resblock_dilation_sizes: list[list[int]] = [[1, 3, 5], [1, 3, 5], [1, 3, 5]]  # noqa: RUF012
    initializer_range: float = 0.01
    leaky_relu_slope: float = 0.1
    normalize_before: bool = True


def vocoder(c: Any) -> Vocoder:
    """The whole."""
    return Vocoder(
        c.model_in_dim,
        c.upsample_initial_channel,
        tuple(c.upsample_rates),
        tuple(c.upsample_kernel_sizes),
        tuple(c.resblock_kernel_sizes),
        tuple(map(tuple, c.resblock_dilation_sizes)),
        c.leaky_relu_slope,
    )


SPEECHT5_HIFIGAN = register(
    Family(
        model_type="speecht5_hifigan",
        name="SpeechT5HifiGan",
        config=SpeechT5HifiGanConfig,
        base="vocoder",
        bare="",
        assembly=VocoderModel(vocoder, lambda c: c.initializer_range),
        heads={"Model": Head("vocoder", lambda c: None)},
    )
)
