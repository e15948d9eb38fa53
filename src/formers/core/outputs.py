"""The records that models return."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from formers.core.model_output import ModelOutput as ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class BaseModelOutput(ModelOutput):
    """Hidden states of a stack: `last_hidden_state` is [B, T, E]."""

    last_hidden_state: Tensor | None = None
    last_hidden_state_ngram: Tensor | None = None
    past_key_values: Any = None
    cache_params: Any = None
    state: Any = None
    mems: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    hidden_states_ngram: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    ngram_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None
    video_hidden_states: Tensor | None = None
    global_attentions: tuple[Tensor, ...] | None = None
    entity_last_hidden_state: Tensor | None = None
    entity_hidden_states: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None


@dataclasses.dataclass
class BaseModelOutputWithPooling(ModelOutput):
    """Hidden states [B, T, E] and a pooled vector [B, E]."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    global_attentions: tuple[Tensor, ...] | None = None
    entity_last_hidden_state: Tensor | None = None
    entity_hidden_states: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None
    deepstack_features: list[Any] | None = None
    intermediate_activations: list[Any] | None = None


@dataclasses.dataclass
class InnerWindowsOutput(ModelOutput):
    """Rows of patches [B, T, E] and their mean [B, E].

    `hidden_states` are those of the patches, and for every stage a tuple of those before and after each of
    its layers; `hidden_states_spatial_dimensions` how many places down and across there are, behind each.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Any, ...] | None = None
    hidden_states_spatial_dimensions: tuple[tuple[int, int], ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class Seq2SeqModelOutput(ModelOutput):
    """Decoder states [B, T, E] with the encoder's [B, S, E] beside them."""

    last_hidden_state: Tensor | None = None
    last_hidden_state_ngram: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_ngram_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    decoder_ngram_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_global_attentions: tuple[Tensor, ...] | None = None
    decoder_router_logits: tuple[Tensor, ...] | None = None
    encoder_router_logits: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class HeardOutput(ModelOutput):
    """Hidden states of a sound [B, T, E], and the normed features [B, T, C] that they were made of."""

    last_hidden_state: Tensor | None = None
    extract_features: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class PriorOutput(ModelOutput):
    """States of a text [B, T, E], and of what its speech is drawn: means and log variances [B, T, C]."""

    last_hidden_state: Tensor | None = None
    prior_means: Tensor | None = None
    prior_log_variances: Tensor | None = None
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
class TaskOutput(ModelOutput):
    """A head over one stack: `loss` (scalar), `logits` (shape by task), states when asked for."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    logits_ngram: Tensor | None = None
    past_key_values: Any = None
    cache_params: Any = None
    state: Any = None
    mems: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    hidden_states_ngram: tuple[Tensor, ...] | None = None
    entity_hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    ngram_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None
    video_hidden_states: Tensor | None = None
    global_attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None


@dataclasses.dataclass
class RetrievalOutput(ModelOutput):
    """Vectors of length one, `embeddings` [B, T, E], zeros at padding; there is no `loss`."""

    loss: Tensor | None = None
    embeddings: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None


@dataclasses.dataclass
class BalancedOutput(ModelOutput):
    """A head over a mixture of experts: `aux_loss` (scalar) says how unevenly the experts are used."""

    loss: Tensor | None = None
    aux_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class DoubleHeadsOutput(ModelOutput):
    """Next words, `logits` [.., T, V] with `loss`, and `mc_logits`, a score of every text, with `mc_loss`."""

    loss: Tensor | None = None
    mc_loss: Tensor | None = None
    logits: Tensor | None = None
    mc_logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SpanOutput(ModelOutput):
    """Extractive question answering: `start_logits` and `end_logits` are [B, T]."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    past_key_values: Any = None
    mems: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    entity_hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None
    global_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class BeamSpanOutput(ModelOutput):
    """The likeliest spans: n starts [B, n], and for each of m ends all starts, [B, m * n].

    `cls_logits` [B] say how likely it is that there is no answer. With positions given: the loss alone.
    """

    loss: Tensor | None = None
    start_top_log_probs: Tensor | None = None
    start_top_index: Tensor | None = None
    end_top_log_probs: Tensor | None = None
    end_top_index: Tensor | None = None
    cls_logits: Tensor | None = None
    past_key_values: Any = None
    mems: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class DepthOutput(ModelOutput):
    """Depths of pixels, [B, height, width]."""

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class KindOfDepthOutput(ModelOutput):
    """Depths of pixels, [B, height, width], and scores of kinds of pictures, [B, kinds], or None."""

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None
    domain_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class MaskedImageOutput(ModelOutput):
    """Hidden patches of an image: `reconstruction` is [B, channels, height, width]."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class BackboneOutput(ModelOutput):
    """Maps of chosen stages, [B, channels, height, width] each."""

    feature_maps: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class PreTrainingOutput(ModelOutput):
    """BERT pre-training: masked-LM logits [B, T, V] and next-sentence logits [B, 2]."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SentenceOrderOutput(ModelOutput):
    """Masked-LM logits [B, T, V] and sentence-order logits [B, C]."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    sop_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class PassageOutput(ModelOutput):
    """Passages read: `start_logits` and `end_logits` are [B, T], `relevance_logits` [B]."""

    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    relevance_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class TableOutput(ModelOutput):
    """A table's cells: `logits` [B, T] for every token, and `logits_aggregation` [B, operators]."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    logits_aggregation: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class EntityWordsOutput(ModelOutput):
    """Hidden words [B, T, V] and hidden entities [B, N, entities], what each cost, and the sum of both."""

    loss: Tensor | None = None
    mlm_loss: Tensor | None = None
    mep_loss: Tensor | None = None
    logits: Tensor | None = None
    entity_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    entity_hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SomePatchesOutput(ModelOutput):
    """States of the patches that are left, [B, T, E].

    `mask` [B, patches] is 1 at those that are hidden, `ids_restore` says where each stands when those that
    are left come first.
    """

    last_hidden_state: Tensor | None = None
    mask: Tensor | None = None
    ids_restore: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class HiddenPixelsOutput(ModelOutput):
    """Pixels of every patch, `logits` [B, patches, pixels], which were hidden, and where each stood."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    mask: Tensor | None = None
    ids_restore: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class TaughtOutput(ModelOutput):
    """Logits [B, C] of the first token and of the one that learned from another model, and their mean."""

    logits: Tensor | None = None
    cls_logits: Tensor | None = None
    distillation_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class EmbeddingOutput(ModelOutput):
    """A vector [B, P] of a text, an image or a sound in a space that they share, and the states [B, T, E]."""

    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    audio_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class ContrastOutput(ModelOutput):
    """Texts and images compared: `logits_per_image` is [images, texts], the vectors have length one.

    The towers' own records hold, as `pooler_output`, the projected vectors as they are, or those before.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: ModelOutput | None = None
    vision_model_output: ModelOutput | None = None


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
class CaptionOutput(ModelOutput):
    """Logits [B, T, V] of texts about images, whose states [B, P, E] stand beside."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class AnsweredOutput(ModelOutput):
    """The loss of answers, and images' states [B, P, E]."""

    loss: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class MatchedOutput(ModelOutput):
    """How well texts fit images, [B, 2] or [images, texts]; images' states, and texts' `question_embeds`."""

    itm_score: Tensor | None = None
    loss: Tensor | None = None
    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    vision_pooler_output: Tensor | None = None
    attentions: tuple[Tensor, ...] | None = None
    question_embeds: Tensor | None = None


@dataclasses.dataclass
class QueriedObjectsOutput(ModelOutput):
    """What every patch of an image shows, of what texts [B, Q] ask for, and the box around it.

    `logits` is [B, patches, Q], `pred_boxes` [B, patches, 4] (centre x, centre y, width, height), as shares;
    `image_embeds` [B, down, across, E], `text_embeds` [B, Q, P], `class_embeds` [B, patches, P].
    """

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    objectness_logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    class_embeds: Tensor | None = None
    text_model_output: ModelOutput | None = None
    vision_model_output: ModelOutput | None = None


@dataclasses.dataclass
class PromptedMapsOutput(ModelOutput):
    """Where images show what was asked for: `logits` [B, height, width].

    `conditional_embeddings` [B, P] is what was asked for, `pooled_output` [B, P] the images' vectors.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    conditional_embeddings: Tensor | None = None
    pooled_output: Tensor | None = None
    vision_model_output: ModelOutput | None = None
    decoder_output: ModelOutput | None = None


@dataclasses.dataclass
class MatchedPointsOutput(ModelOutput):
    """Matches of points of two pictures: `matches` [B, 2, N], a point's number in the other one, or -1.

    `matching_scores` [B, 2, N]; `keypoints` [B, 2, N, (across, down)], shares of a picture; `mask` [B, 2, N].
    Hidden states are [B, 2, E, N], attentions [B, 2, H, N, N].
    """

    loss: Tensor | None = None
    matches: Tensor | None = None
    matching_scores: Tensor | None = None
    keypoints: Tensor | None = None
    mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class KeypointsOutput(ModelOutput):
    """Points of pictures: `keypoints` [B, K, (across, down)], shares of a picture, and `scores` [B, K].

    `descriptors` [B, K, E] have length one. `mask` [B, K] is 1 at points, 0 behind those of a picture.
    """

    loss: Tensor | None = None
    keypoints: Tensor | None = None
    scores: Tensor | None = None
    descriptors: Tensor | None = None
    mask: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SimilarObjectsOutput(ModelOutput):
    """As `QueriedObjectsOutput`, where an image shows what is asked for."""

    logits: Tensor | None = None
    image_embeds: Tensor | None = None
    query_image_embeds: Tensor | None = None
    target_pred_boxes: Tensor | None = None
    query_pred_boxes: Tensor | None = None
    class_embeds: Tensor | None = None
    text_model_output: ModelOutput | None = None
    vision_model_output: ModelOutput | None = None


@dataclasses.dataclass
class Seq2SeqTaskOutput(ModelOutput):
    """A head over an encoder-decoder."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    logits_ngram: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_ngram_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    decoder_ngram_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_global_attentions: tuple[Tensor, ...] | None = None
    decoder_router_logits: tuple[Tensor, ...] | None = None
    encoder_router_logits: tuple[Tensor, ...] | None = None


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
class Seq2SeqBalancedOutput(ModelOutput):
    """A head over two stacks with experts: how large routers' logits are, how unevenly experts are used."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    encoder_z_loss: Tensor | None = None
    decoder_z_loss: Tensor | None = None
    encoder_aux_loss: Tensor | None = None
    decoder_aux_loss: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    decoder_router_logits: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_router_logits: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class Seq2SeqSpanOutput(ModelOutput):
    """Extractive question answering over an encoder-decoder."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_global_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class QueriesOutput(ModelOutput):
    """What queries found: last states [B, Q, E], and perhaps those of all layers, [L, B, Q, E]."""

    last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    intermediate_hidden_states: Tensor | None = None
    reference_points: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class ObjectsOutput(ModelOutput):
    """Objects in pictures: `logits` [B, Q, C], `pred_boxes` [B, Q, 4], perhaps `pred_masks` [B, Q, h, w].

    Boxes are (centre x, centre y, width, height), as shares of a picture. `loss_dict` has the parts of the
    loss by name, `auxiliary_outputs` the logits and boxes of the layers before the last.
    """

    loss: Tensor | None = None
    loss_dict: dict[str, Tensor] | None = None
    logits: Tensor | None = None
    pred_boxes: Tensor | None = None
    pred_masks: Tensor | None = None
    auxiliary_outputs: list[dict[str, Tensor]] | None = None
    last_hidden_state: Tensor | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class StagesOutput(ModelOutput):
    """The last map [B, H, W, C], and those of all stages, or of one width [B, E, H, W] with their places."""

    last_hidden_state: Tensor | None = None
    intermediate_hidden_states: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    fpn_hidden_states: tuple[Tensor, ...] | None = None
    fpn_position_encoding: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class SharpMasksOutput(ModelOutput):
    """As `PointedMasksOutput`, with logits of there being anything, [B, P, 1], and the maps read."""

    iou_scores: Tensor | None = None
    pred_masks: Tensor | None = None
    object_score_logits: Tensor | None = None
    image_embeddings: tuple[Tensor, ...] | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass
class PointedMasksOutput(ModelOutput):
    """Masks of what was pointed at, [B, P, M, h, w] logits, and how good they may be, [B, P, M]."""

    iou_scores: Tensor | None = None
    pred_masks: Tensor | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
