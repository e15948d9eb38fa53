"""wav2vec 2.0 with the layers of conformers (Gulati et al. 2020, arXiv:2005.08100)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.audio.waveform_encoder import WaveformEncoder
from formers.assemblies.family import Family
from formers.models import hubert, wav2vec2
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import Rotary


class Wav2Vec2ConformerConfig(
    hubert.SoundConfig, wav2vec2.CodesConfig, wav2vec2.VoicesConfig, wav2vec2.AdapterConfig
):
    """Configuration."""

    model_type = "wav2vec2-conformer"
    vocab_size: int | None = None  # type: ignore[assignment]  # it is told with a tokenizer
    feat_extract_norm: str = "group"
    feat_quantizer_dropout: float = 0.0
    num_conv_pos_embeddings: int = 128
    apply_spec_augment: bool = True
    position_embeddings_type: str | None = "relative"
    rotary_embedding_base: int = 10000
    max_source_positions: int = 5000
    conv_depthwise_kernel_size: int = 31
    conformer_conv_dropout: float = 0.1


def halves(prefix: str, node: str) -> dict[str, str]:
    """Paths of one of a layer's two feed-forwards."""
    return {
        f"{prefix}up": f"{node}.intermediate_dense",
        f"{prefix}act": f"{node}.intermediate_act_fn",
        f"{prefix}inner_dropout": f"{node}.intermediate_dropout",
        f"{prefix}down": f"{node}.output_dense",
    }


LAYER = {
    **{"first_norm": "ffn1_layer_norm", "first_dropout": "ffn1.output_dropout", **halves("first_", "ffn1")},
    "attention_norm": "self_attn_layer_norm",
    **{role: f"self_attn.linear_{role}" for role in "qkv"},
    **{"o": "self_attn.linear_out", "weights_dropout": "self_attn.dropout"},
    "attention_dropout": "self_attn_dropout",
    "convolution_norm": "conv_module.layer_norm",
    **{"conv_in": "conv_module.pointwise_conv1", "conv_gate": "conv_module.glu"},
    **{"conv_along": "conv_module.depthwise_conv", "conv_along_norm": "conv_module.batch_norm"},
    **{"conv_act": "conv_module.activation", "conv_out": "conv_module.pointwise_conv2"},
    "conv_dropout": "conv_module.dropout",
    **{"feedforward_norm": "ffn2_layer_norm", "feedforward_dropout": "ffn2.output_dropout"},
    **{**halves("", "ffn2"), "feedforward_outer": "final_layer_norm"},
}
# by `position_embeddings_type`
PLACES: dict[str | None, dict[str, str]] = {
    "relative": {
        "r": "self_attn.linear_pos",
        **{"content_bias": "self_attn.pos_bias_u", "distance_bias": "self_attn.pos_bias_v"},
    },
    "relative_key": {"distances": "self_attn.distance_embedding"},
}
NAMES = hubert.NAMES.with_(
    layer={**dict.fromkeys(hubert.NAMES.layer), **LAYER},
    stack={
        **{"near": None, "near_norm": None, "near_dropout": "encoder.dropout"},
        **{"idle_near": "encoder.pos_conv_embed", "final_norm": "encoder.layer_norm"},
        "rotary": "encoder.embed_positions",
    },
)


def attention(c: Any, stored: bool) -> spec.Attention:
    """That of a layer; whether files hold the frequencies of places.

    Raises:
        ValueError: for positions of another kind.
    """
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    kind, rate = c.position_embeddings_type, c.attention_dropout
    if kind == "relative":
        return spec.Distant(heads, dropout=rate)
    if kind == "relative_key" and not stored:
        reach = c.left_max_position_embeddings, c.right_max_position_embeddings
        return spec.Distant(heads, dropout=rate, reach=reach)
    if kind == "rotary":
        turns = Rotary(heads.width, float(c.rotary_embedding_base), stored=stored)
        return spec.Attention(heads, dropout=rate, rotary=turns, rotary_first=True)
    if kind is None:
        return spec.Attention(heads, dropout=rate)
    raise ValueError(f"position_embeddings_type={kind!r} is none of those that this model has")


def layer(c: Any, mixer: spec.Attention, along: spec.GatedConvolution, norm: spec.Norm) -> spec.Layer:
    """Half a feed-forward, attention, a convolution, the other half, and a norm."""
    first = spec.FeedForward(c.intermediate_size, c.hidden_act, dropout=c.activation_dropout, prefix="first_")
    return spec.Layer(
        (
            spec.Part(first, "first", norm, dropout=c.hidden_dropout, scale=0.5),
            spec.Part(mixer, "attention", norm, dropout=c.attention_dropout),
            spec.Part(along, "convolution", norm),
            spec.Part(
                *(replace(first, prefix=""), "feedforward", norm),
                after=norm,
                dropout=c.hidden_dropout,
                scale=0.5,
            ),
        )
    )


def stack(c: Wav2Vec2ConformerConfig) -> spec.Stack:
    """The encoder. Files keep convolutions that nothing runs."""
    near = spec.ConvolutionalPositions(
        c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups, dropout=c.hidden_dropout, idle=True
    )
    made = hubert.stack(c, "Wav2Vec2Conformer", tells=True, near=near)
    along = spec.GatedConvolution(
        c.conv_depthwise_kernel_size, act=c.hidden_act, dropout=c.conformer_conv_dropout
    )
    kind = c.position_embeddings_type
    names = NAMES.with_(layer=PLACES.get(kind, {}))
    one = layer(c, attention(c, True), along, spec.Norm("layer", 1e-5))
    return replace(
        made,
        stem=hubert.waves(c, True, c.feat_extract_norm == "layer"),
        layers=(one,) * c.num_hidden_layers,
        names=names if kind == "rotary" else names.with_(stack={"rotary": None}),
        final_norm=spec.Norm("layer", c.layer_norm_eps),
        layer_class="Wav2Vec2ConformerEncoderLayer",
        behind=wav2vec2.behind(c, "Wav2Vec2Conformer"),
    )


WAV2VEC2_CONFORMER = register(
    Family(
        model_type="wav2vec2-conformer",
        name="Wav2Vec2Conformer",
        config=Wav2Vec2ConformerConfig,
        base="wav2vec2_conformer",
        assembly=WaveformEncoder(stack),
        heads={"ForPreTraining": wav2vec2.WAV2VEC2.heads["ForPreTraining"], **wav2vec2.HEADS},
        renames=hubert.RENAMES,
    )
)
