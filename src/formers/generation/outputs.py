"""What `generate` returns where `return_dict_in_generate` is set. V is the vocabulary, L the new tokens.

A tuple "per step" has one entry for every new token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from formers.core.outputs import ModelOutput


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """Of a decoder.

    Attributes:
        sequences: [B, T + L], int64, prompts and what follows, padded behind their ends.
        scores: per step [B, V], after the processors.
        logits: per step [B, V], as the model gave them.
        attentions: per step, per layer [B, H, new, S].
        hidden_states: per step, per layer [B, new, E].
        past_key_values: the cache, which holds all but the last token.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    attentions: tuple[Any, ...] | None = None
    hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    """Of an encoder-decoder: as of a decoder, with what the encoder computed."""

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Any, ...] | None = None
    cross_attentions: tuple[Any, ...] | None = None
    decoder_hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Of a decoder with beams.

    Attributes:
        sequences: [B * returned, T + L], int64, the best first.
        sequences_scores: [B * returned], the sum of log-probabilities over a power of the length.
        scores: per step [B * beams, V], log-probabilities after the processors, with those of the beam so
            far.
        logits: per step [B * beams, V], as the model gave them.
        beam_indices: [B * returned, L], int64, which row of the batch each token came from; -1 behind the
            end.
        attentions: per step, per layer [B * beams, H, new, S].
        hidden_states: per step, per layer [B * beams, new, E].
        past_key_values: the cache.
    """

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    attentions: tuple[Any, ...] | None = None
    hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """Of an encoder-decoder with beams: as of a decoder, with what the encoder computed."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Any, ...] | None = None
    cross_attentions: tuple[Any, ...] | None = None
    decoder_hidden_states: tuple[Any, ...] | None = None
    past_key_values: Any = None


GenerateNonBeamOutput = GenerateDecoderOnlyOutput | GenerateEncoderDecoderOutput
GenerateBeamOutput = GenerateBeamDecoderOnlyOutput | GenerateBeamEncoderDecoderOutput
GenerateOutput = GenerateNonBeamOutput | GenerateBeamOutput
# older names, one for each way to go on
ContrastiveSearchDecoderOnlyOutput = GreedySearchDecoderOnlyOutput = GenerateDecoderOnlyOutput
ContrastiveSearchEncoderDecoderOutput = GreedySearchEncoderDecoderOutput = GenerateEncoderDecoderOutput
SampleDecoderOnlyOutput, SampleEncoderDecoderOutput = GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput
BeamSearchDecoderOnlyOutput = BeamSampleDecoderOnlyOutput = GenerateBeamDecoderOnlyOutput
BeamSearchEncoderDecoderOutput = BeamSampleEncoderDecoderOutput = GenerateBeamEncoderDecoderOutput
