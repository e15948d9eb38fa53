"""SeamlessM4T (Seamless Communication 2023, arXiv:2308.11596): speech and texts translated into either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from formers.assemblies.audio.speech_translation import TextAndSpeechTranslation
from formers.assemblies.audio.unit_vocoder import UnitVocoder
from formers.assemblies.base import Assembly
from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.models import bart, m2m_100, wav2vec2_bert, wav2vec2_conformer
from formers.models.classes import class_of
from formers.models.registry import family_of, register
from formers.models.speecht5_hifigan import vocoder
from formers.nn import spec
from formers.nn.spec.speech_synthesis import UnitVoice
from formers.tasks.specs import Words
from formers.tasks.speech_to_speech import Spec as EndToEndSpeech


class SeamlessM4TConfig(PretrainedConfig):
    """Configuration. Nothing reads the numbers of positions: places are computed."""

    model_type = "seamless_m4t"
    attribute_map = {"num_hidden_layers": "decoder_layers", "num_attention_heads": "decoder_attention_heads"}
    # what reads texts
    encoder_layers: int = 24
    encoder_attention_heads: int = 16
    encoder_ffn_dim: int = 8192
    encoder_layerdrop: float = 0.05
    # what writes them
    decoder_layers: int = 24
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 8192
    decoder_layerdrop: float = 0.05
    decoder_start_token_id: int = 3
    max_new_tokens: int | None = 256
    # both
    vocab_size: int = 256102
    hidden_size: int = 1024
    activation_function: str = "relu"
    dropout: float = 0.1
    activation_dropout: float = 0.0
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    max_position_embeddings: int = 1024
    tie_word_embeddings: bool = True
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    is_encoder_decoder: bool = True
    use_cache: bool = True
    # their special tokens
    eos_token_id: int | list[int] | None = 3
    bos_token_id: int | None = 2
    pad_token_id: int | None = 0
    # what hears speech
    feature_projection_input_dim: int = 160
    sampling_rate: int = 16000
    speech_encoder_hidden_act: str = "swish"
    speech_encoder_layers: int = 24
    speech_encoder_intermediate_size: int = 4096
    speech_encoder_attention_heads: int = 16
    speech_encoder_layerdrop: float = 0.1
    speech_encoder_dropout: float = 0.0
    conv_depthwise_kernel_size: int = 31
    max_source_positions: int = 4096
    position_embeddings_type: str | None = "relative"
    num_conv_pos_embedding_groups: int = 16
    num_conv_pos_embeddings: int = 128
    rotary_embedding_base: int = 10000
    # the layers behind it
    add_adapter: bool = True
    num_adapter_layers: int = 1
    adaptor_stride: int = 8
    adaptor_kernel_size: int = 8
    adaptor_dropout: float = 0.1
    # what turns texts into units
    t2u_vocab_size: int = 10082
    t2u_encoder_layers: int = 6
    t2u_decoder_layers: int = 6
    t2u_encoder_attention_heads: int = 16
    t2u_decoder_attention_heads: int = 16
    t2u_encoder_ffn_dim: int = 8192
    t2u_decoder_ffn_dim: int = 8192
    t2u_max_position_embeddings: int = 2048
    t2u_max_new_tokens: int = 1024
    t2u_decoder_start_token_id: int = 2
    t2u_eos_token_id: int | list[int] | None = 2
    t2u_bos_token_id: int | None = 0
    t2u_pad_token_id: int | None = 1
    # what makes waves of units
    unit_hifi_gan_vocab_size: int = 10000
    vocoder_offset: int = 4
    unit_embed_dim: int = 1280
    spkr_embed_dim: int = 256
    vocoder_num_spkrs: int = 200
    lang_embed_dim: int = 256
    vocoder_num_langs: int = 36
    variance_predictor_kernel_size: int = 3
    var_pred_dropout: float = 0.5
    leaky_relu_slope: float = 0.1
    upsample_initial_channel: int = 512
    upsample_kernel_sizes: list[int] = [11, 8, 8, 4, 4]  # noqa: RUF012
    upsample_rates: list[int] = [5, 4, 4, 2, 2]  # noqa: RUF012  (fields declare defaults)
    resblock_dilation_sizes: list[list[int]] = [[1, 3, 5], [1, 3, 5], [1, 3, 5]]  # noqa: RUF012
    resblock_kernel_sizes: list[int] = [3, 7, 11]  # noqa: RUF012


NAMES = spec.Names(
    layers="layers",
    layer={
        **{role: bart.NAMES.layer[role] for role in ("q", "k", "v", "o", "attention_norm")},
        **{f"cross_{role}": f"cross_attention.{role}_proj" for role in "qkv"},
        **{"cross_o": "cross_attention.out_proj", "cross_norm": "cross_attention_layer_norm"},
        **{"attention_dropout": "attn_dropout", "cross_dropout": "attn_dropout"},
        **{"up": "ffn.fc1", "act": "ffn.act", "inner_dropout": "ffn.dropout", "down": "ffn.fc2"},
        **{"feedforward_norm": "ffn_layer_norm", "feedforward_dropout": "ffn_dropout"},
    },
    embeddings={"token": "embed_tokens", "position": "embed_positions"},
    stack={"final_norm": "layer_norm"},
)


def half(
    c: Any,
    decoder: bool,
    reads: spec.Stem | None = None,
    names: spec.Names = NAMES,
    name: str = "SeamlessM4T",
) -> spec.Stack:
    """An encoder of texts, or a decoder: M2M-100's, with another dropout behind feed-forwards."""
    own = SimpleNamespace(**{**c.to_dict(), "d_model": c.hidden_size, "init_std": c.initializer_range})
    made = bart.stack(own, decoder, name, reads or m2m_100.tokens(own), names, "pre")
    *parts, last = bart.layer(own, decoder, "pre").parts
    layer = spec.Layer((*parts, replace(last, dropout=c.activation_dropout)))
    return replace(made, layers=(layer,) * len(made.layers))


BARE = NAMES.with_(embeddings={"token": None, "position": None})
HEARS = wav2vec2_bert.NAMES.with_(
    layer={"conv_along_norm": "conv_module.batch_norm"},
    stack={"final_norm": "encoder.layer_norm", "rotary": "encoder.embed_positions"},
)
BEHIND = {
    **wav2vec2_conformer.halves("first_", "intermediate_ffn"),
    **{"first_dropout": "intermediate_ffn.output_dropout", "behind_norm": "inner_layer_norm"},
}


def behind(c: Any, name: str) -> spec.PostEncoder:
    """A feed-forward, layers that make eight rows one, and a norm."""
    norm, rate = bart.NORM, c.adaptor_dropout
    heads = spec.Heads.split(c.hidden_size, c.speech_encoder_attention_heads)
    inner = spec.FeedForward(c.speech_encoder_intermediate_size, "relu", dropout=rate)
    mixer = spec.Attention(heads, dropout=c.speech_encoder_dropout)
    return spec.PostEncoder(
        *(c.hidden_size, c.hidden_size, c.num_adapter_layers if c.add_adapter else 0),
        *(c.adaptor_kernel_size, c.adaptor_stride, c.adaptor_stride // 2),
        "adapter" if c.add_adapter else "",
        f"{name}ConformerAdapterLayer",
        wav2vec2_bert.BEHIND,
        norm,
        layer=spec.Layer(
            (
                spec.Part(mixer, "attention", dropout=rate),
                spec.Part(inner, "feedforward", norm, dropout=rate),
            )
        ),
        first=replace(inner, dropout=0.0),
        own=BEHIND,
        last=norm,
    )


def conformer(c: Any) -> Any:
    """The encoder of speech, by the names that conformers have for its settings."""
    rate = c.speech_encoder_dropout
    own = {name: getattr(c, f"speech_encoder_{name}") for name in ("intermediate_size", "hidden_act")}
    own["num_attention_heads"] = c.speech_encoder_attention_heads
    own |= dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), rate)
    return SimpleNamespace(**{**c.to_dict(), **own})


def speech(c: SeamlessM4TConfig) -> spec.Stack:
    """What hears speech."""
    own, rate = conformer(c), c.speech_encoder_dropout
    along = spec.GatedConvolution(c.conv_depthwise_kernel_size, act=own.hidden_act, dropout=rate, hides=True)
    one = wav2vec2_conformer.layer(own, wav2vec2_conformer.attention(own, True), along, bart.NORM)
    return heard(c, one, HEARS, "SeamlessM4T")


def heard(c: Any, one: spec.Layer, names: spec.Names, name: str) -> spec.Stack:
    """Such layers, and those behind them, over bands."""
    rate, kind = c.speech_encoder_dropout, c.position_embeddings_type
    names = names.with_(layer=wav2vec2_conformer.PLACES.get(kind, {}))
    width, eps = (c.feature_projection_input_dim,), c.layer_norm_eps
    return spec.Stack(
        stem=spec.Bands(width, (), (), c.hidden_size, eps=eps, dropout=rate, tells=False),
        layers=(one,) * c.speech_encoder_layers,
        names=names if kind == "rotary" else names.with_(stack={"rotary": None}),
        width=c.hidden_size,
        layer_class=f"{name}ConformerEncoderLayer",
        near=spec.ConvolutionalPositions(0, 1, dropout=rate, idle=True),
        final_norm=spec.Norm("layer", eps),
        layer_drop=c.speech_encoder_layerdrop,
        behind=behind(c, name),
        reports="plain",
        initial_std=c.initializer_range,
    )


def words(c: Any) -> Words:
    """The output table."""
    return Words("lm_head", bias=False)


def order(name: str) -> tuple[tuple[str, ...], ...]:
    """In which order the reference counts what layers have."""
    sides = (
        (
            *(f"{name}{side}Layer:", "self_attn", "self_attn_layer_norm", "cross_attention"),
            *("cross_attention_layer_norm", "ffn", "ffn_layer_norm"),
        )
        for side in ("Encoder", "Decoder")
    )
    adapter = (
        *(f"{name}ConformerAdapterLayer:", "residual_layer_norm", "residual_conv"),
        *("self_attn_layer_norm", "self_attn_conv", "self_attn"),
    )
    return (
        bart.ORDER[0],
        *sides,
        ("linear_q", "linear_k", "linear_v", "linear_out", "linear_pos", "distance_embedding"),
        adapter,
    )


STACKS = {"text": lambda c: half(c, False), "speech": speech, "decoder": lambda c: half(c, True)}
PATHS = {"text": "text_encoder", "speech": "speech_encoder", "decoder": "text_decoder"}
SPEAKS = (r"^t2u_model\.", r"^vocoder\.")


def units(c: Any, writes: bool) -> spec.Stack:
    """One of the stacks that write units of states of a text; a config of units has their settings."""
    given = spec.GivenRows(c.hidden_size, dropout=c.dropout)
    return half(c, True) if writes else half(c, False, given, BARE)


def voice(c: Any) -> UnitVoice:
    """What makes waves of units."""
    wide = c.unit_embed_dim, c.lang_embed_dim, c.spkr_embed_dim
    return UnitVoice(
        *(c.unit_hifi_gan_vocab_size, wide[0], c.vocoder_num_langs, wide[1], c.vocoder_num_spkrs, wide[2]),
        *(c.variance_predictor_kernel_size, c.var_pred_dropout),
        vocoder(SimpleNamespace(**c.to_dict(), model_in_dim=sum(wide))),
        c.t2u_pad_token_id or 0,
    )


def voiced(c: Any) -> EndToEndSpeech:
    """The output table, and what speaks."""
    own = family_of(c.model_type)
    units, speaks = class_of(own, UNITS), class_of(own, "CodeHifiGan")
    return EndToEndSpeech(**vars(words(c)), units=units, voice=speaks, offset=c.vocoder_offset)


def heads(units: Head) -> dict[str, Head]:
    """Those of a family, with its own that writes units."""
    return {
        "Model": Head("either_translation", voiced, flat=True),
        "ForTextToText": Head("text_translation", words, over="texts", flat=True),
        "ForSpeechToText": Head("speech_translation", words, over="speech", flat=True),
        "ForTextToSpeech": Head("text_to_speech_translation", voiced, over="spoken texts", flat=True),
        "ForSpeechToSpeech": Head("speech_to_speech_translation", voiced, over="spoken speech", flat=True),
        UNITS: units,
        "TextToUnitModel": Head("stack", lambda c: None, over="units"),
        "CodeHifiGan": Head("vocoder", lambda c: None, over="voice"),
    }


def both(stacks: Any, units: Assembly, speaks: Callable[[Any], UnitVoice]) -> TextAndSpeechTranslation:
    """All models of a family, of its stacks."""
    others = {"units": units, "voice": UnitVocoder(speaks, lambda c: c.initializer_range)}
    return TextAndSpeechTranslation.whole(stacks, PATHS, others, SPEAKS)


UNITS = "TextToUnitForConditionalGeneration"
PREDICTED = Head(
    "units_of_states",
    lambda c: Words("lm_head", bias=False, vocabulary=c.t2u_vocab_size),
    base="model",
    over="units",
)
SEAMLESS_M4T = register(
    Family(
        model_type="seamless_m4t",
        name="SeamlessM4T",
        config=SeamlessM4TConfig,
        base="seamless_m4t",
        assembly=both(STACKS, EncoderDecoder(units, stem=spec.GivenRows), voice),
        heads=heads(PREDICTED),
        order=order("SeamlessM4T"),
        ignored=(r"embed_positions\.(weights?|pe)$",),
    )
)
