"""A vocoder as a model of its own: HiFi-GAN (Kong et al. 2020, arXiv:2010.05646)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import Assembly
from formers.model.base import PreTrainedModel
from formers.nn.fresh import Constant
from formers.nn.nets.vocoder import WaveMaker, waves_of
from formers.nn.spec.speech_synthesis import Vocoder
from formers.nn.tree import place, place_tensor, wiring


class VocoderModel(Assembly):
    """Waves of spectra.

    Args:
        vocoder: config -> its spec.
        std: config -> deviation of fresh weights.
    """

    inputs: tuple[str, ...] = ("spectrogram",)
    main = "spectrogram"

    def __init__(self, vocoder: Callable[[Any], Vocoder], std: Callable[[Any], float]) -> None:
        self.vocoder, self.std = vocoder, std
        self.offers = {"forward": speak}

    def spec(self, config: Any) -> Any:
        """The vocoder."""
        return self.vocoder(config)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all parts on the model itself, and mean and deviation of each bin."""
        s = wiring(model).facts["vocoder"] = self.vocoder(config)
        for name, part in WaveMaker(s).named_children():
            for leaf_ in part.modules():
                vars(leaf_).pop("_fresh", None)  # drawn by the model's own deviation
            place(model, name, name, part)
        for name, value in (("mean", 0.0), ("scale", 1.0)):
            place_tensor(model, name, name, torch.full((s.read,), value), Constant(value), trained=False)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """None."""
        return {}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """As the config says."""
        return self.std(model.config), {}

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """None: no part is a layer."""
        return []


def speak(self: Any, spectrogram: Tensor) -> Tensor:
    """Waves of frames.

    Args:
        self: the model.
        spectrogram: [B, T, bins], floating: logarithms of mel bins; or [T, bins] of one.

    Returns:
        [B, samples], or [samples] of one.

    Raises:
        TypeError: for what is no floating tensor.
        ValueError: for another shape.
    """
    s: Vocoder = wiring(self).facts["vocoder"]
    if not isinstance(spectrogram, Tensor) or not spectrogram.is_floating_point():
        kind = getattr(spectrogram, "dtype", type(spectrogram).__name__)
        raise TypeError(f"a vocoder reads a floating tensor [B, T, {s.read}], not {kind}")
    if spectrogram.dim() not in (2, 3) or spectrogram.shape[-1] != s.read or not spectrogram.shape[-2]:
        raise ValueError(
            f"a spectrogram has shape [B, T, {s.read}], or [T, {s.read}], not {list(spectrogram.shape)}"
        )
    frames = spectrogram if spectrogram.dim() == 3 else spectrogram[None]
    if self.config.normalize_before:
        frames = (frames - self.mean) / self.scale
    waves = waves_of(self, s, frames.transpose(1, 2))[:, 0]
    return waves if spectrogram.dim() == 3 else waves[0]
