"""The records of models that find segments."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.outputs import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class PixelsOutput(ModelOutput):
    """Maps of a picture: the backbone's, and those that a decoder of pixels makes of them, [B, C, h, w] each.

    `encoder_hidden_states` are all maps of the backbone, `decoder_hidden_states` those of the decoder.
    """

    encoder_last_hidden_state: Tensor | None = None
    decoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class PixelMapsOutput(ModelOutput):
    """All maps of a backbone, those that a decoder makes of them, and the one that masks are read off."""

    encoder_features: tuple[Tensor, ...] | None = None
    decoder_features: tuple[Tensor, ...] | None = None
    decoder_last_feature: Tensor | None = None


@dataclasses.dataclass
class MaskedQueriesOutput(ModelOutput):
    """What queries became [B, Q, E], behind every layer, normed and not, [Q, B, E], and their masks there."""

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    masks_queries_logits: tuple[Tensor, ...] | None = None
    intermediate_hidden_states: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class TaskedQueriesOutput(ModelOutput):
    """What queries became and began with [B, Q, E], and their labels and masks behind every layer."""

    object_queries: Tensor | None = None
    contrastive_logits: Tensor | None = None
    predictions: tuple[tuple[Tensor, Tensor], ...] | None = None
    attentions: tuple[tuple[Tensor, Tensor], ...] | None = None


@dataclasses.dataclass
class SegmentStatesOutput(ModelOutput):
    """What queries for segments [B, Q, E] became, and the maps that they read; see `PixelsOutput`."""

    encoder_last_hidden_state: Tensor | None = None
    pixel_decoder_last_hidden_state: Tensor | None = None
    transformer_decoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_intermediate_states: tuple[Tensor, ...] | None = None
    masks_queries_logits: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SegmentsOutput(ModelOutput):
    """Segments of pictures: a label and a mask for every query, as logits.

    `class_queries_logits` is [B, Q, C + 1], whose last label says that there is nothing;
    `masks_queries_logits` [B, Q, h, w]; `auxiliary_logits` has both for the layers before the last.
    """

    loss: Tensor | None = None
    class_queries_logits: Tensor | None = None
    masks_queries_logits: Tensor | None = None
    auxiliary_logits: list[dict[str, Tensor]] | None = None
    encoder_last_hidden_state: Tensor | None = None
    pixel_decoder_last_hidden_state: Tensor | None = None
    transformer_decoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class TaskedStatesOutput(ModelOutput):
    """What queries for segments became when a task began them, what they found, and what they read.

    Predictions of layers before the last are `class_queries_logits` [B, Q, C + 1] and `masks_queries_logits`
    [B, Q, h, w] for each; `task_token` is [B, E], `text_queries` [B, Q, E].
    """

    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[dict[str, Tensor], ...] | None = None
    transformer_decoder_object_queries: Tensor | None = None
    transformer_decoder_contrastive_queries: Tensor | None = None
    transformer_decoder_mask_predictions: Tensor | None = None
    transformer_decoder_class_predictions: Tensor | None = None
    transformer_decoder_auxiliary_predictions: tuple[dict[str, Tensor], ...] | None = None
    text_queries: Tensor | None = None
    task_token: Tensor | None = None
    attentions: tuple[tuple[Tensor, Tensor], ...] | None = None


@dataclasses.dataclass
class TaskedSegmentsOutput(ModelOutput):
    """As `SegmentsOutput`, of queries that a task began; see `TaskedStatesOutput`."""

    loss: Tensor | None = None
    class_queries_logits: Tensor | None = None
    masks_queries_logits: Tensor | None = None
    auxiliary_predictions: tuple[dict[str, Tensor], ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[dict[str, Tensor], ...] | None = None
    transformer_decoder_object_queries: Tensor | None = None
    transformer_decoder_contrastive_queries: Tensor | None = None
    transformer_decoder_mask_predictions: Tensor | None = None
    transformer_decoder_class_predictions: Tensor | None = None
    transformer_decoder_auxiliary_predictions: tuple[dict[str, Tensor], ...] | None = None
    text_queries: Tensor | None = None
    task_token: Tensor | None = None
    attentions: tuple[tuple[Tensor, Tensor], ...] | None = None


@dataclasses.dataclass
class FollowedOutput(ModelOutput):
    """What was followed to a frame of a film, by its number: ids of objects, masks of them, and scores.

    `pred_masks` is [objects, 1, h, w], `object_score_logits`, whether they are there, [objects, 1].
    """

    object_ids: list[object] | None = None
    pred_masks: Tensor | None = None
    object_score_logits: Tensor | None = None
    frame_idx: int | None = None
