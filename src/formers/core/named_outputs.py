"""The ecosystem's records of outputs by their names, for code that makes them or asks what it was given.

Models return the few records of `outputs.py`. One of those counts as an instance of every class here that has
all of its fields that are present.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from formers.core.outputs import BaseModelOutput, ModelOutput

_STATES = "hidden_states attentions"
_BOTH = (
    "past_key_values decoder_hidden_states decoder_attentions cross_attentions encoder_last_hidden_state "
    "encoder_hidden_states encoder_attentions"
)
_LABELLED = f"loss logits {_STATES}"
_LABELLED_PAST = f"loss logits past_key_values {_STATES}"

_OBJECTS = (
    "auxiliary_outputs last_hidden_state decoder_hidden_states decoder_attentions cross_attentions "
    "encoder_last_hidden_state encoder_hidden_states encoder_attentions"
)

# class -> its fields, in the order in which they may be given by position
FIELDS: dict[str, str] = {
    "BackboneOutput": f"feature_maps {_STATES}",
    "BaseModelOutputWithCrossAttentions": f"last_hidden_state {_STATES} cross_attentions",
    "BaseModelOutputWithNoAttention": "last_hidden_state hidden_states",
    "BaseModelOutputWithPast": f"last_hidden_state past_key_values {_STATES}",
    "BaseModelOutputWithPastAndCrossAttentions": (
        f"last_hidden_state past_key_values {_STATES} cross_attentions"
    ),
    "BaseModelOutputWithPoolingAndCrossAttentions": (
        "last_hidden_state pooler_output hidden_states past_key_values attentions cross_attentions"
    ),
    "BaseModelOutputWithPoolingAndNoAttention": "last_hidden_state pooler_output hidden_states",
    "CLIPOutput": (
        "loss logits_per_image logits_per_text text_embeds image_embeds text_model_output vision_model_output"
    ),
    "CLIPTextModelOutput": f"text_embeds last_hidden_state {_STATES}",
    "CLIPVisionModelOutput": f"image_embeds last_hidden_state {_STATES}",
    "ClapAudioModelOutput": f"audio_embeds last_hidden_state {_STATES}",
    "ClapOutput": (
        "loss logits_per_audio logits_per_text text_embeds audio_embeds text_model_output audio_model_output"
    ),
    "ClapTextModelOutput": f"text_embeds last_hidden_state {_STATES}",
    "DPRContextEncoderOutput": f"pooler_output {_STATES}",
    "DPRQuestionEncoderOutput": f"pooler_output {_STATES}",
    "DPRReaderOutput": f"start_logits end_logits relevance_logits {_STATES}",
    **dict.fromkeys(
        (
            "Qwen2VLCausalLMOutputWithPast",
            "Qwen2_5_VLCausalLMOutputWithPast",
            "Qwen3VLCausalLMOutputWithPast",
        ),
        f"{_LABELLED_PAST} rope_deltas",
    ),
    **dict.fromkeys(
        ("Qwen2VLModelOutputWithPast", "Qwen2_5_VLModelOutputWithPast", "Qwen3VLModelOutputWithPast"),
        f"last_hidden_state past_key_values {_STATES} rope_deltas",
    ),
    "SamImageSegmentationOutput": (
        "iou_scores pred_masks vision_hidden_states vision_attentions mask_decoder_attentions"
    ),
    "CausalLMOutput": _LABELLED,
    "CausalLMOutputWithCrossAttentions": f"{_LABELLED_PAST} cross_attentions",
    "CausalLMOutputWithPast": _LABELLED_PAST,
    "DepthEstimatorOutput": f"loss predicted_depth {_STATES}",
    "DetrObjectDetectionOutput": f"loss loss_dict logits pred_boxes {_OBJECTS}",
    "DetrSegmentationOutput": f"loss loss_dict logits pred_boxes pred_masks {_OBJECTS}",
    "ImageClassifierOutput": _LABELLED,
    "ImageSuperResolutionOutput": f"loss reconstruction {_STATES}",
    "MaskedImageModelingOutput": f"loss reconstruction {_STATES}",
    "MaskedLMOutput": _LABELLED,
    "MoECausalLMOutputWithPast": f"loss aux_loss logits past_key_values {_STATES} router_logits",
    "MoeCausalLMOutputWithPast": f"loss aux_loss logits past_key_values {_STATES} router_logits",
    "MoeModelOutputWithPast": f"last_hidden_state past_key_values {_STATES} router_logits",
    "MoEModelOutput": f"last_hidden_state {_STATES} router_logits",
    "MultipleChoiceModelOutput": _LABELLED,
    "NextSentencePredictorOutput": _LABELLED,
    "QuestionAnsweringModelOutput": f"loss start_logits end_logits {_STATES}",
    "SemanticSegmenterOutput": _LABELLED,
    "Seq2SeqLMOutput": f"loss logits {_BOTH}",
    "Seq2SeqMoEModelOutput": f"last_hidden_state {_BOTH} decoder_router_logits encoder_router_logits",
    "Seq2SeqMoEOutput": (
        "loss logits encoder_z_loss decoder_z_loss encoder_aux_loss decoder_aux_loss past_key_values "
        "decoder_hidden_states decoder_attentions decoder_router_logits cross_attentions "
        "encoder_last_hidden_state encoder_hidden_states encoder_attentions encoder_router_logits"
    ),
    "Seq2SeqQuestionAnsweringModelOutput": f"loss start_logits end_logits {_BOTH}",
    "Seq2SeqSequenceClassifierOutput": f"loss logits {_BOTH}",
    "SequenceClassifierOutput": _LABELLED,
    "SequenceClassifierOutputWithPast": _LABELLED_PAST,
    "TableTransformerObjectDetectionOutput": f"loss loss_dict logits pred_boxes {_OBJECTS}",
    "TokenClassifierOutput": _LABELLED,
    "VitsModelOutput": f"waveform sequence_lengths spectrogram {_STATES}",
    "XVectorOutput": f"loss logits embeddings {_STATES}",
}


class _ByFields(type):
    """A class whose instances are also the records of models that fit its fields."""

    def __instancecheck__(cls, value: Any) -> bool:
        if super().__instancecheck__(value):
            return True
        names = FIELDS.get(cls.__name__)
        if names is None or type(value).__module__ != BaseModelOutput.__module__:
            return False
        return isinstance(value, ModelOutput) and bool(value.keys()) and set(value.keys()) <= {*names.split()}


class _Named(ModelOutput, metaclass=_ByFields):
    """Base of the classes of this module."""


def __getattr__(name: str) -> Any:
    if name not in FIELDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    fields = [(field, Any, dataclasses.field(default=None)) for field in FIELDS[name].split()]
    says = f"A record of outputs: {', '.join(FIELDS[name].split())}; those that are None are not there."
    made = dataclasses.make_dataclass(name, fields, bases=(_Named,), namespace={"__doc__": says})
    made.__module__ = __name__
    globals()[name] = made
    return made
