"""The records of models of texts and regions of a picture that read each other.

Of shapes: B texts, T tokens, P regions, V words, A answers. States are [B, T, E] and [B, P, E], those of the
layers alone; weights are [B, H, T, T], [B, H, P, P], and [B, H, T, P] of what texts read of regions.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class CrossedOutput(ModelOutput):
    """Last states of both, and `pooled_output` [B, E]."""

    language_output: Tensor | None = None
    vision_output: Tensor | None = None
    pooled_output: Tensor | None = None
    language_hidden_states: tuple[Tensor, ...] | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    language_attentions: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    cross_encoder_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class CrossedAnswerOutput(ModelOutput):
    """`question_answering_score` [B, A]."""

    loss: Tensor | None = None
    question_answering_score: Tensor | None = None
    language_hidden_states: tuple[Tensor, ...] | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    language_attentions: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    cross_encoder_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class CrossedPreTrainingOutput(ModelOutput):
    """`prediction_logits` [B, T, V], `cross_relationship_score` [B, 2], `question_answering_score` [B, A]."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    cross_relationship_score: Tensor | None = None
    question_answering_score: Tensor | None = None
    language_hidden_states: tuple[Tensor, ...] | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    language_attentions: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    cross_encoder_attentions: tuple[Tensor, ...] | None = None
