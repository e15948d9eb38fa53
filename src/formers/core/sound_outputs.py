"""Records of models that make codes of sounds, or sounds of texts."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from formers.core.model_output import ModelOutput


@dataclasses.dataclass
class FramedOutput(ModelOutput):
    """Codes of a sound [B, books, T], the sound of those, and what was kept of both."""

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None
    encoder_past_key_values: Any = None
    decoder_past_key_values: Any = None


@dataclasses.dataclass
class FramedCodesOutput(ModelOutput):
    """Codes of a sound, [B, books, T], what was kept for the rest of a stream, and the layers' states."""

    audio_codes: Tensor | None = None
    encoder_past_key_values: Any = None
    padding_cache: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class FramedSoundOutput(ModelOutput):
    """A sound, [B, channels, samples], what was kept for the rest of a stream, and the layers' states."""

    audio_values: Tensor | None = None
    decoder_past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class UnconditionalInput(ModelOutput):
    """What stands for no text, [B, 1, E], a mask [B, 1] that hides it, and no guidance."""

    encoder_outputs: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None
    guidance_scale: float | None = None


@dataclasses.dataclass
class TranslatedSpeechOutput(ModelOutput):
    """Speech of a text in another language: waves, how many samples are real, that text, and its units."""

    waveform: Tensor | None = None
    waveform_lengths: Tensor | None = None
    sequences: Tensor | None = None
    unit_sequences: Tensor | None = None
