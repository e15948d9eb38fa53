"""SeamlessM4T v2 (Seamless Communication 2023, arXiv:2312.05187): units of speech are written all at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.non_autoregressive_units import NonAutoregressivePair
from formers.assemblies.family import Family
from formers.models import bart, seamless_m4t, wav2vec2_bert, wav2vec2_conformer
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Chunk
from formers.nn.spec.speech_synthesis import CharacterRows, UnitVoice

_OWN = seamless_m4t.SeamlessM4TConfig


class SeamlessM4Tv2Config(_OWN):
    """Configuration. Nothing reads the numbers of positions: places are computed."""

    model_type = "seamless_m4t_v2"
    max_position_embeddings: int = 4096
    char_vocab_size: int = 10943
    position_embeddings_type: str | None = "relative_key"
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    speech_encoder_chunk_size: int | None = 20000
    speech_encoder_left_chunk_num: int = 128
    t2u_max_position_embeddings: int = 4096
    t2u_variance_predictor_embed_dim: int = 1024
    t2u_variance_predictor_hidden_dim: int = 256
    t2u_variance_predictor_kernel_size: int = 3
    t2u_variance_pred_dropout: float = 0.5


NAME = "SeamlessM4Tv2"
HEARS = wav2vec2_bert.NAMES.with_(stack={"final_norm": "encoder.layer_norm"})
SAYS = spec.Names(
    layers="layers",
    layer={
        **{role: bart.NAMES.layer[role] for role in ("q", "k", "v", "o", "attention_norm")},
        **{"up": "conv1", "act": "activation_fn", "down": "conv2"},
        **{"feedforward_dropout": "conv_dropout", "feedforward_norm": "conv_layer_norm"},
    },
    embeddings={},
    stack={"final_norm": "layer_norm"},
)


def speech(c: SeamlessM4Tv2Config) -> spec.Stack:
    """What hears speech: convolutions look back, and attention reaches so many pieces back."""
    own, rate = seamless_m4t.conformer(c), c.speech_encoder_dropout
    along = spec.GatedConvolution(
        c.conv_depthwise_kernel_size, bart.NORM, own.hidden_act, dropout=rate, looks_back=True, hides=True
    )
    mixer = wav2vec2_conformer.attention(own, False)
    if c.speech_encoder_chunk_size is not None:
        mixer = replace(mixer, mask=Chunk(c.speech_encoder_chunk_size, c.speech_encoder_left_chunk_num))
    one = wav2vec2_conformer.layer(own, mixer, along, bart.NORM)
    return seamless_m4t.heard(c, one, HEARS, NAME)


def half(c: Any, decoder: bool) -> spec.Stack:
    """What reads texts, or writes them."""
    return seamless_m4t.half(c, decoder, name=NAME)


def units(c: Any, writes: bool) -> spec.Stack:
    """What reads states of a text, or what writes units of rows that are as long as they are said."""
    stem = spec.GivenRows(c.hidden_size, dropout=c.dropout)
    if not writes:
        return seamless_m4t.half(c, False, stem, seamless_m4t.BARE, NAME)
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, c.decoder_attention_heads), dropout=c.attention_dropout
    )
    inner = spec.ConvolvedFeedForward(c.hidden_size, 7, c.activation_function, by_row=True)
    parts = (
        spec.Part(attention, "attention", after=bart.NORM),
        spec.Part(inner, "feedforward", after=bart.NORM, dropout=c.dropout),
    )
    return spec.Stack(
        stem=stem,
        layers=(spec.Layer(parts),) * c.decoder_layers,
        names=SAYS,
        width=c.hidden_size,
        layer_class=f"{NAME}TextToUnitDecoderLayer",
        final_norm=bart.NORM,
        layer_drop=c.decoder_layerdrop,
        initial_std=c.initializer_range,
    )


def letters(c: Any) -> CharacterRows:
    """What makes rows as long as they are said, by a config with settings of units."""
    return CharacterRows(
        c.char_vocab_size,
        c.hidden_size,
        c.hidden_size**0.5 if c.scale_embedding else 1.0,
        c.t2u_variance_predictor_hidden_dim,
        c.t2u_variance_predictor_kernel_size,
        c.t2u_variance_pred_dropout,
        c.pad_token_id,
    )


def voice(c: Any) -> UnitVoice:
    """What makes waves of units."""
    return replace(seamless_m4t.voice(c), same=True)


BETWEEN = ("embed_tokens", "embed_char", "duration_predictor", "layers", "layer_norm")
STACKS = {"text": lambda c: half(c, False), "speech": speech, "decoder": lambda c: half(c, True)}
SEAMLESS_M4T_V2 = register(
    Family(
        model_type="seamless_m4t_v2",
        name=NAME,
        config=SeamlessM4Tv2Config,
        base="seamless_m4t_v2",
        assembly=seamless_m4t.both(
            STACKS, NonAutoregressivePair(units, letters, lambda c: c.vocab_size), voice
        ),
        heads=seamless_m4t.heads(replace(seamless_m4t.PREDICTED, task="non_autoregressive_units")),
        order=(*seamless_m4t.order(NAME), BETWEEN),
        ignored=(r"embed_(char_)?positions\.(weights?|pe)$",),
    )
)
