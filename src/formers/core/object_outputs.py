"""The records of models whose queries look for objects in several maps.

Of shapes: B pictures, Q queries, S places of all maps, C labels, L layers of the decoder. Boxes are (centre
x, centre y, width, height), as shares of a picture. `init_reference_points` are where queries stand first,
and `intermediate_reference_points` where each layer moved them; `enc_outputs_class` [B, S, C] and
`enc_outputs_coord_logits` [B, S, 4] tell what stands at every place of the maps.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class RefinedOutput(ModelOutput):
    """What queries found, [B, Q, E], and what every layer did, [B, L, Q, ..].

    `enc_topk_logits` and `enc_topk_bboxes` are those of the best places, where queries begin.
    """

    last_hidden_state: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_logits: Any = None
    intermediate_reference_points: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Any = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    init_reference_points: Tensor | None = None
    enc_topk_logits: Tensor | None = None
    enc_topk_bboxes: Tensor | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None
    denoising_meta_values: dict[str, Any] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class RefinedObjectsOutput(ModelOutput):
    """Objects in pictures: `logits` [B, Q, C], `pred_boxes` [B, Q, 4]; and what stands in `RefinedOutput`."""

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    auxiliary_outputs: list[dict[str, Tensor]] | None = None
    last_hidden_state: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_logits: Any = None
    intermediate_reference_points: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Any = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    init_reference_points: Tensor | None = None
    enc_topk_logits: Tensor | None = None
    enc_topk_bboxes: Tensor | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None
    denoising_meta_values: dict[str, Any] | None = None


@dataclasses.dataclass
class LocatedOutput(ModelOutput):
    """What queries found, [B, Q, E], where they stood first, and what every layer did, [B, L, Q, ..]."""

    init_reference_points: Tensor | None = None
    last_hidden_state: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_reference_points: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None


@dataclasses.dataclass
class LocatedObjectsOutput(ModelOutput):
    """Objects in pictures: `logits` [B, Q, C], `pred_boxes` [B, Q, 4]; and what stands in `LocatedOutput`."""

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    auxiliary_outputs: list[dict[str, Tensor]] | None = None
    last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_reference_points: Tensor | None = None
    init_reference_points: Tensor | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None


@dataclasses.dataclass
class EnhancedOutput(ModelOutput):
    """What places [B, S, E] and words [B, T, E] became that read each other.

    `attentions` are those of places over words and of words over places, [B * H, S, T], of words over words
    [B, H, T, T], and of places over places [B, S, H, maps, points], each for every layer.
    """

    last_hidden_state_vision: Tensor | None = None
    last_hidden_state_text: Tensor | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    text_hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[tuple[Tensor, ...], ...] | None = None


@dataclasses.dataclass
class AskedOutput(ModelOutput):
    """What queries found, [B, Q, E], and what every layer did, [B, L, Q, ..].

    `attentions` are those of queries over queries, over words and over places, each for every layer.
    """

    last_hidden_state: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_reference_points: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[tuple[Tensor, ...], ...] | None = None


@dataclasses.dataclass
class GroundedOutput(ModelOutput):
    """What queries found, [B, Q, E], of what a text names; see `EnhancedOutput` and `AskedOutput`.

    For every place of the maps `enc_outputs_class` [B, S, W] says which words it shows; `encoder_logits`
    [B, Q, W] and `encoder_pred_boxes` [B, Q, 4] are those of queries at the best places.
    """

    last_hidden_state: Tensor | None = None
    init_reference_points: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_reference_points: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[tuple[Tensor, ...], ...] | None = None
    encoder_last_hidden_state_vision: Tensor | None = None
    encoder_last_hidden_state_text: Tensor | None = None
    encoder_vision_hidden_states: tuple[Tensor, ...] | None = None
    encoder_text_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[tuple[Tensor, ...], ...] | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None
    encoder_logits: Tensor | None = None
    encoder_pred_boxes: Tensor | None = None


@dataclasses.dataclass
class GroundedObjectsOutput(ModelOutput):
    """Objects that a text names: `logits` [B, Q, W], one for each word; and what stands in `GroundedOutput`.

    `input_ids` [B, T] is the text. Behind it, and where it is padded, logits are -inf.
    """

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    auxiliary_outputs: list[dict[str, Tensor]] | None = None
    last_hidden_state: Tensor | None = None
    init_reference_points: Tensor | None = None
    intermediate_hidden_states: Tensor | None = None
    intermediate_reference_points: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[tuple[Tensor, ...], ...] | None = None
    encoder_last_hidden_state_vision: Tensor | None = None
    encoder_last_hidden_state_text: Tensor | None = None
    encoder_vision_hidden_states: tuple[Tensor, ...] | None = None
    encoder_text_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[tuple[Tensor, ...], ...] | None = None
    enc_outputs_class: Tensor | None = None
    enc_outputs_coord_logits: Tensor | None = None
    encoder_logits: Tensor | None = None
    encoder_pred_boxes: Tensor | None = None
    input_ids: Tensor | None = None
