"""Whisper (Radford et al. 2022, arXiv:2212.04356): a pre-norm encoder-decoder that reads sounds."""

from __future__ import annotations

from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.audio_classification import Spec as Sounds
from formers.tasks.specs import Words


class WhisperConfig(PretrainedConfig):
    """Configuration of Whisper.

    Nothing reads `scale_embedding`, in the ecosystem either: tokens enter as they are looked up. With
    `apply_spec_augment`, spans of what a model with a decoder hears are silenced in training.
    """

    model_type = "whisper"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "num_key_value_heads": "encoder_attention_heads",
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
    }
    vocab_size: int = 51865
    num_mel_bins: int = 80
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1536
    encoder_ffn_dim: int = 1536
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    decoder_start_token_id: int | None = 50257
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 384
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False
    max_source_positions: int = 1500
    max_target_positions: int = 448
    pad_token_id: int | None = 50256
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = [220, 50256]
    use_weighted_layer_sum: bool = False
    classifier_proj_size: int = 256
    apply_spec_augment: bool = False
    mask_time_prob: float = 0.05
    mask_time_length: int = 10
    mask_time_min_masks: int = 2
    mask_feature_prob: float = 0.0
    mask_feature_length: int = 10
    mask_feature_min_masks: int = 0
    median_filter_width: int = 7
    tie_word_embeddings: bool = True


NAMES = bart.PRE_NORM.with_(embeddings={"conv_0": "conv1", "conv_1": "conv2"})


def hidden(c: Any, share: float, length: int, least: int) -> spec.Spans | None:
    """Spans that are silenced in training, where the config asks for them."""
    wanted = getattr(c, "apply_spec_augment", True)
    return spec.Spans(share, length, least) if wanted and share > 0 else None


def sounds(c: WhisperConfig) -> spec.Frames:
    """The encoder's stem."""
    return spec.Frames(
        c.num_mel_bins,
        c.d_model,
        c.max_source_positions,
        dropout=c.dropout,
        hidden=hidden(c, c.mask_time_prob, c.mask_time_length, c.mask_time_min_masks),
        hidden_bins=hidden(c, c.mask_feature_prob, c.mask_feature_length, c.mask_feature_min_masks),
    )


def tokens(c: WhisperConfig) -> spec.Tokens:
    """The decoder's stem."""
    positions = spec.LearnedPositions(c.max_target_positions)
    return spec.Tokens(c.vocab_size, c.d_model, positions, dropout=c.dropout, padding_idx=c.pad_token_id)


def half(c: WhisperConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder."""
    stem = tokens(c) if decoder else sounds(c)
    return bart.stack(c, decoder, "Whisper", stem, NAMES, "pre", key_bias=False)


def labels(c: Any) -> Sounds:
    """A label by the mean of what the encoder hears, in its last state or in all."""
    return Sounds(
        "classifier",
        dense="projector",
        pool="mean",
        inner=c.classifier_proj_size,
        mixed="layer_weights" if c.use_weighted_layer_sum else None,
        count=c.num_hidden_layers + 1,
    )


WHISPER = register(
    Family(
        model_type="whisper",
        name="Whisper",
        config=WhisperConfig,
        base="model",
        assembly=EncoderDecoder(half, stem=spec.Frames, places=True),
        heads={
            "ForConditionalGeneration": Head("transcription", lambda c: Words("proj_out", bias=False)),
            "ForAudioClassification": Head("audio_classification", labels, over="encoder", flat=True),
            "ForCausalLM": Head(
                "causal_lm", lambda c: Words("proj_out", bias=False, shifts=False), over="decoder"
            ),
        },
        order=(
            bart.BART.order[0],
            (
                *("self_attn", "self_attn_layer_norm", "encoder_attn", "encoder_attn_layer_norm"),
                *("fc1", "fc2", "final_layer_norm"),
            ),
        ),
    )
)
