"""SeamlessM4T (Seamless Communication 2023, arXiv:2308.11596): speech and texts translated into either."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.assemblies.family import Family, Head
from formers.assemblies.translating import Translating, TranslatingBoth
from formers.assemblies.unit_voiced import UnitVoiced
from formers.configs.translating import SeamlessM4TConfig
from formers.models import bart, wav2vec2_bert, wav2vec2_conformer
from formers.models.classes import class_of
from formers.models.registry import register
from formers.models.speecht5_hifigan import vocoder
from formers.nn import spec
from formers.nn.masks import Causal, Full
from formers.nn.spec.voiced import UnitVoice
from formers.tasks.specs import Words
from formers.tasks.voiced_translation import Spec as Voiced

NORM = spec.Norm("layer", 1e-5)
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


def layer(c: Any, decoder: bool) -> spec.Layer:
    """A layer of an encoder of texts, or of a decoder."""
    heads = c.decoder_attention_heads if decoder else c.encoder_attention_heads
    wide = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    attention = spec.Attention(
        spec.Heads.split(c.hidden_size, heads), Causal() if decoder else Full(), c.attention_dropout
    )
    inner = spec.FeedForward(wide, c.activation_function, dropout=c.activation_dropout)
    parts = [spec.Part(attention, "attention", NORM, dropout=c.dropout)]
    if decoder:
        across = replace(attention, mask=Full(), cross=True)
        parts.append(spec.Part(across, "cross", NORM, dropout=c.dropout))
    return spec.Layer((*parts, spec.Part(inner, "feedforward", NORM, dropout=c.activation_dropout)))


def stack(c: Any, decoder: bool, stem: spec.Stem, names: spec.Names = NAMES) -> spec.Stack:
    """Such layers over a stem."""
    return spec.Stack(
        stem=stem,
        layers=(layer(c, decoder),) * (c.decoder_layers if decoder else c.encoder_layers),
        names=names,
        width=c.hidden_size,
        layer_class=f"SeamlessM4T{'Decoder' if decoder else 'Encoder'}Layer",
        final_norm=NORM,
        decoder=decoder,
        layer_drop=c.decoder_layerdrop if decoder else c.encoder_layerdrop,
        initial_std=c.initializer_range,
    )


def tokens(c: Any) -> spec.Tokens:
    """The stem of whatever reads tokens."""
    return spec.Tokens(
        c.vocab_size,
        c.hidden_size,
        positions=spec.ComputedPositions(c.pad_token_id),
        table_scale=c.hidden_size**0.5 if c.scale_embedding else 1.0,
        dropout=c.dropout,
        padding_idx=c.pad_token_id,
    )


def text(c: Any) -> spec.Stack:
    """What reads texts."""
    return stack(c, False, tokens(c))


def decoder(c: Any) -> spec.Stack:
    """What writes them."""
    return stack(c, True, tokens(c))


BARE = NAMES.with_(embeddings={"token": None, "position": None})
HEARS = wav2vec2_bert.NAMES.with_(
    layer={"conv_along_norm": "conv_module.batch_norm"},
    stack={"final_norm": "encoder.layer_norm", "rotary": "encoder.embed_positions"},
)
BEHIND = {
    **wav2vec2_conformer.halves("first_", "intermediate_ffn"),
    "first_dropout": "intermediate_ffn.output_dropout",
    "behind_norm": "inner_layer_norm",
}


def behind(c: SeamlessM4TConfig) -> spec.Behind:
    """A feed-forward, layers that make eight rows one, and a norm."""
    norm, rate = spec.Norm("layer", 1e-5), c.adaptor_dropout
    heads = spec.Heads.split(c.hidden_size, c.speech_encoder_attention_heads)
    inner = spec.FeedForward(c.speech_encoder_intermediate_size, "relu", dropout=rate)
    mixer = spec.Attention(heads, dropout=c.speech_encoder_dropout)
    return spec.Behind(
        *(c.hidden_size, c.hidden_size, c.num_adapter_layers if c.add_adapter else 0),
        *(c.adaptor_kernel_size, c.adaptor_stride, c.adaptor_stride // 2),
        "adapter" if c.add_adapter else "",
        "SeamlessM4TConformerAdapterLayer",
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


def conformer(c: SeamlessM4TConfig) -> Any:
    """The encoder of speech, by the names that conformers have for its settings."""
    rate = c.speech_encoder_dropout
    return SimpleNamespace(
        hidden_size=c.hidden_size,
        num_attention_heads=c.speech_encoder_attention_heads,
        intermediate_size=c.speech_encoder_intermediate_size,
        hidden_act=c.speech_encoder_hidden_act,
        position_embeddings_type=c.position_embeddings_type,
        rotary_embedding_base=c.rotary_embedding_base,
        **dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), rate),
    )


def speech(c: SeamlessM4TConfig) -> spec.Stack:
    """What hears speech."""
    own, rate, kind = conformer(c), c.speech_encoder_dropout, c.position_embeddings_type
    along = spec.GatedConvolution(c.conv_depthwise_kernel_size, act=own.hidden_act, dropout=rate, hides=True)
    one = wav2vec2_conformer.layer(own, wav2vec2_conformer.attention(own, True), along, NORM)
    names = HEARS.with_(layer=wav2vec2_conformer.PLACES.get(kind, {}))
    return spec.Stack(
        stem=spec.Bands(
            *((c.feature_projection_input_dim,), (), (), c.hidden_size),
            eps=c.layer_norm_eps,
            dropout=rate,
            tells=False,
        ),
        layers=(one,) * c.speech_encoder_layers,
        names=names if kind == "rotary" else names.with_(stack={"rotary": None}),
        width=c.hidden_size,
        layer_class="SeamlessM4TConformerEncoderLayer",
        near=spec.NearPositions(0, 1, dropout=rate, idle=True),
        final_norm=spec.Norm("layer", c.layer_norm_eps),
        layer_drop=c.speech_encoder_layerdrop,
        behind=behind(c),
        reports="plain",
        initial_std=c.initializer_range,
    )


def words(c: Any) -> Words:
    """The output table."""
    return Words("lm_head", bias=False)


ORDER = (
    bart.ORDER[0],
    *(
        (
            *(f"SeamlessM4T{side}Layer:", "self_attn", "self_attn_layer_norm", "cross_attention"),
            *("cross_attention_layer_norm", "ffn", "ffn_layer_norm"),
        )
        for side in ("Encoder", "Decoder")
    ),
    ("linear_q", "linear_k", "linear_v", "linear_out", "linear_pos"),
    (
        *("SeamlessM4TConformerAdapterLayer:", "residual_layer_norm", "residual_conv"),
        *("self_attn_layer_norm", "self_attn_conv", "self_attn"),
    ),
)
STACKS = {"text": text, "speech": speech, "decoder": decoder}
PATHS = {"text": "text_encoder", "speech": "speech_encoder", "decoder": "text_decoder"}
SPEAKS = (r"^t2u_model\.", r"^vocoder\.")


def units(c: Any, writes: bool) -> spec.Stack:
    """One of the stacks that write units of states of a text; a config of units has their settings."""
    if writes:
        return stack(c, True, tokens(c))
    return stack(c, False, spec.GivenRows(c.hidden_size, dropout=c.dropout), BARE)


def voice(c: SeamlessM4TConfig) -> UnitVoice:
    """What makes waves of units."""
    wide = c.unit_embed_dim, c.lang_embed_dim, c.spkr_embed_dim
    return UnitVoice(
        *(c.unit_hifi_gan_vocab_size, wide[0], c.vocoder_num_langs, wide[1], c.vocoder_num_spkrs, wide[2]),
        c.variance_predictor_kernel_size,
        c.var_pred_dropout,
        vocoder(SimpleNamespace(**c.to_dict(), model_in_dim=sum(wide))),
        c.t2u_pad_token_id or 0,
    )


def voiced(c: SeamlessM4TConfig) -> Voiced:
    """The output table, and what speaks."""
    return Voiced(
        **vars(words(c)),
        units=class_of(SEAMLESS_M4T, UNITS),
        voice=class_of(SEAMLESS_M4T, "CodeHifiGan"),
        offset=c.vocoder_offset,
    )


UNITS = "TextToUnitForConditionalGeneration"
TEXTS = Translating(STACKS, PATHS, "text", (r"^speech_encoder\.",))
HEARD = Translating(STACKS, PATHS, "speech", (r"^text_encoder\.",))
PARTS = {
    "texts": Translating(STACKS, PATHS, "text", (r"^speech_encoder\.", *SPEAKS)),
    "speech": Translating(STACKS, PATHS, "speech", (r"^text_encoder\.", *SPEAKS)),
    "spoken texts": TEXTS,
    "spoken speech": HEARD,
    "units": EncoderDecoder(units, stem=spec.GivenRows),
    "voice": UnitVoiced(voice, lambda c: c.initializer_range),
}
SEAMLESS_M4T = register(
    Family(
        model_type="seamless_m4t",
        name="SeamlessM4T",
        config=SeamlessM4TConfig,
        base="seamless_m4t",
        assembly=TranslatingBoth(TEXTS, HEARD, PARTS),
        heads={
            "Model": Head("either_translation", voiced, flat=True),
            "ForTextToText": Head("text_translation", words, over="texts", flat=True),
            "ForSpeechToText": Head("speech_translation", words, over="speech", flat=True),
            "ForTextToSpeech": Head("text_to_speech_translation", voiced, over="spoken texts", flat=True),
            "ForSpeechToSpeech": Head(
                "speech_to_speech_translation", voiced, over="spoken speech", flat=True
            ),
            UNITS: Head(
                "units_of_states",
                lambda c: Words("lm_head", bias=False, vocabulary=c.t2u_vocab_size),
                base="model",
                over="units",
            ),
            "TextToUnitModel": Head("stack", lambda c: None, over="units"),
            "CodeHifiGan": Head("vocoder", lambda c: None, over="voice"),
        },
        order=ORDER,
        ignored=(r"embed_positions\.(weights?|pe)$",),
    )
)
