"""A vocoder of units as a model of its own: the code HiFi-GAN (Polyak et al. 2021, arXiv:2104.00355)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.audio.vocoder import VocoderModel
from formers.model.base import PreTrainedModel
from formers.nn.nets.unit_voice import speech_of, unit_parts
from formers.nn.spec.speech_synthesis import UnitVoice
from formers.nn.tree import place, wiring


class UnitVocoder(VocoderModel):
    """Waves of units.

    Args:
        voice: config -> its spec.
        std: config -> deviation of fresh weights.
        unused: see `Assembly`.
    """

    inputs = ("input_ids", "spkr_id", "lang_id")
    main = "input_ids"

    def __init__(
        self,
        voice: Callable[[Any], UnitVoice],
        std: Callable[[Any], float],
        unused: tuple[str, ...] = (),
    ) -> None:
        super().__init__(lambda c: voice(c).vocoder, std)
        self.voice, self.unused = voice, unused
        self.offers = {"forward": say}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all parts on the model itself."""
        s = wiring(model).facts["voice"] = self.voice(config)
        for name, part in unit_parts(s).items():
            place(model, name, name, part)


def say(self: Any, input_ids: Tensor, spkr_id: Tensor, lang_id: Tensor) -> tuple[Tensor, Tensor]:
    """Waves of units.

    Args:
        self: the model.
        input_ids: [B, T], int64, units.
        spkr_id: [B, 1] or [1, 1], int64, whose voice.
        lang_id: [B, 1] or [1, 1], int64, the language.

    Returns:
        [B, samples], floating, and how many samples of each row are real: [B], of one row [].

    Raises:
        TypeError: for what is no tensor of integers.
        ValueError: for another shape, or an id that there is not.
    """
    s: UnitVoice = wiring(self).facts["voice"]
    given = {
        "input_ids": (input_ids, s.units),
        "spkr_id": (spkr_id, s.speakers),
        "lang_id": (lang_id, s.languages),
    }
    for name, (ids, count) in given.items():
        if not isinstance(ids, Tensor) or ids.is_floating_point():
            raise TypeError(
                f"{name} is a tensor of integers, not {getattr(ids, 'dtype', type(ids).__name__)}"
            )
        if ids.dim() != 2 or not ids.numel() or (name != "input_ids" and ids.shape[1] != 1):
            wanted = "[B, T]" if name == "input_ids" else "[B, 1]"
            raise ValueError(f"{name} has shape {wanted}, not {list(ids.shape)}")
        if name != "input_ids" and len(ids) not in (1, len(input_ids)):
            raise ValueError(
                f"{name} has one row for each of the {len(input_ids)} of input_ids, not {len(ids)}"
            )
        low, high = torch.aminmax(ids)
        if int(low) < 0 or int(high) >= count:
            raise ValueError(
                f"{name} holds {int(low)} to {int(high)}, but there are {count}: 0 to {count - 1}"
            )
    return speech_of(
        self, s, input_ids, spkr_id.expand(input_ids.shape[0], -1), lang_id.expand(input_ids.shape[0], -1)
    )
