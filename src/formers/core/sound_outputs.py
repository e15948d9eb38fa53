"""Records of models that hear sounds, say them, or make codes of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class FramedOutput(ModelOutput):
    """Codes of a sound [B, books, T], the sound of those, and what was kept of both."""

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None
    encoder_past_key_values: Any = None
    decoder_past_key_values: Any = None


@dataclasses.dataclass
class FramedLatentsOutput(ModelOutput):
    """What codes of frames are made of, [B, E, frames], and what is kept of a stream."""

    latents: Tensor | None = None
    past_key_values: Any = None
    padding_cache: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


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


@dataclasses.dataclass
class HeardOutput(ModelOutput):
    """Hidden states of a sound [B, T, E], and the normed features [B, T, C] that they were made of."""

    last_hidden_state: Tensor | None = None
    extract_features: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SpeechOutput(ModelOutput):
    """Speech.

    Attributes:
        waveform: [B, samples]; `sequence_lengths` [B], int64, says how many of them are real.
        spectrogram: what the waves were made of, [B, C, frames].
    """

    waveform: Tensor | None = None
    sequence_lengths: Tensor | None = None
    spectrogram: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class CodesOutput(ModelOutput):
    """Codes of a sound, [chunks, B, books, T]; each chunk's scale [B, 1]; what of the last is padding."""

    audio_codes: Tensor | None = None
    audio_scales: list[Tensor | None] | None = None
    last_frame_pad_length: int | None = None


@dataclasses.dataclass
class SoundOutput(ModelOutput):
    """A sound, [B, channels, samples]."""

    audio_values: Tensor | None = None


@dataclasses.dataclass
class CodedOutput(ModelOutput):
    """Codes of a sound [chunks, B, books, T], and what they stand for, [B, channels, samples]."""

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None


@dataclasses.dataclass
class FactoredCodesOutput(ModelOutput):
    """Codes of a sound [B, books, T], a loss for each row, and the vectors [B, E, T] that they make."""

    loss: Tensor | None = None
    quantized_representation: Tensor | None = None
    audio_codes: Tensor | None = None
    projected_latents: Tensor | None = None


@dataclasses.dataclass
class FactoredOutput(ModelOutput):
    """The same, with the sound [B, samples] that they stand for."""

    loss: Tensor | None = None
    audio_values: Tensor | None = None
    quantized_representation: Tensor | None = None
    audio_codes: Tensor | None = None
    projected_latents: Tensor | None = None


@dataclasses.dataclass
class VoiceOutput(ModelOutput):
    """Whose voice it is: `logits` and `embeddings` [B, D]."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class ContrastedOutput(ModelOutput):
    """Contrastive pre-training: states and targets in one space [B, T, D], and the loss and its parts."""

    loss: Tensor | None = None
    projected_states: Tensor | None = None
    projected_quantized_states: Tensor | None = None
    codevector_perplexity: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    contrastive_loss: Tensor | None = None
    diversity_loss: Tensor | None = None


@dataclasses.dataclass
class ClusteredOutput(ModelOutput):
    """What the ecosystem calls logits, the features [B, T, C], and the states [B, T, E] made of them."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    projected_states: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SpelledOutput(ModelOutput):
    """What was spelled: a text, or several, and from which moment to which letters and words last."""

    text: Any = None
    char_offsets: Any = None
    word_offsets: Any = None


@dataclasses.dataclass
class SoundContrastOutput(ModelOutput):
    """Texts and sounds compared: `logits_per_audio` is [sounds, texts], the vectors have length one.

    The towers' own records hold, as `pooler_output`, their vectors before the projections.
    """

    loss: Tensor | None = None
    logits_per_audio: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    audio_embeds: Tensor | None = None
    text_model_output: ModelOutput | None = None
    audio_model_output: ModelOutput | None = None


@dataclasses.dataclass
class SpectrumOutput(ModelOutput):
    """Frames of a spectrum, [B, T, bins], over an encoder-decoder."""

    loss: Tensor | None = None
    spectrogram: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class NonAutoregressiveUnitsOutput(ModelOutput):
    """What is said of a text's states [B, T', E], or logits of its units, and which rows are real.

    As the ecosystem has it, logits are under `last_hidden_state` too.
    """

    last_hidden_state: Tensor | None = None
    padding_mask: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    loss: Tensor | None = None
