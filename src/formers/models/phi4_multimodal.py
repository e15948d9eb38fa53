"""Phi-4-multimodal (Microsoft 2025, arXiv:2503.01743): Phi-3's decoder, SigLIP's layers, a conformer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.audio.span_encoder import SpanEncoder
from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.vision_speech_text import Pictures, Sounds, VisionSpeechText
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import phi3, siglip
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.nn.positions import ClippedDistances
from formers.tasks.specs import Words


class Phi4MultimodalVisionConfig(PretrainedConfig):
    """Configuration of the image model."""

    model_type = "phi4_multimodal_vision"
    base_config_key = "vision_config"
    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int | list[int] = 448
    patch_size: int | list[int] = 14
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    crop_size: int = 448
    image_token_id: int = 200010
    feature_layer: int = -2


class Phi4MultimodalAudioConfig(PretrainedConfig):
    """Configuration of the model of sounds."""

    model_type = "phi4_multimodal_audio"
    hidden_size: int = 1024
    intermediate_size: int = 1536
    num_blocks: int = 24
    num_attention_heads: int = 16
    activation: str = "swish"
    chunk_size: int = -1
    left_chunk: int = 18
    dropout_rate: float = 0.0
    ext_pw_out_channel: int = 1024
    depthwise_separable_out_channel: int = 1024
    depthwise_multiplier: int = 1
    kernel_size: int = 3
    conv_activation: str = "swish"
    input_size: int = 80
    conv_glu_type: str = "swish"
    time_reduction: int = 8
    bias_max_distance: int = 1000
    bias_symmetric: bool = False
    nemo_activation: str = "relu"
    nemo_conv_channels: int = 1024
    downsample_rate: int = 1
    initializer_range: float = 0.02
    audio_token_id: int = 200011
    feature_layer: int = -2

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.nemo_final_size = sounds_stem(self).rows(self.input_size)


class Phi4MultimodalConfig(phi3.Phi3Config):
    """Configuration of the whole."""

    model_type = "phi4_multimodal"
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": Phi4MultimodalVisionConfig,
        "audio_config": Phi4MultimodalAudioConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vision_config": {}, "audio_config": {}}
    vocab_size: int = 200064
    num_key_value_heads: int | None = 8
    max_position_embeddings: int = 131072
    bos_token_id: int | None = 199999
    eos_token_id: int | list[int] | None = [199999, 200020]  # noqa: RUF012  (fields declare defaults)
    pad_token_id: int | None = 199999


# -- pictures --------------------------------------------------------------------------------------


def image(c: Phi4MultimodalVisionConfig) -> spec.Stack:
    """SigLIP's layers over patches of pictures of any form, and a query that asks all of them."""
    patch, norm = spec.pair(c.patch_size), spec.Norm("layer", c.layer_norm_eps)
    stem = spec.SharedPatches(
        c.num_channels, spec.pair(c.image_size), patch, c.hidden_size, flat=True, leads=()
    )
    inside = spec.FeedForward(c.intermediate_size, c.hidden_act)
    pooler = spec.Asked(c.num_attention_heads, inside, norm)
    made = siglip.tower(c, stem=stem, names=siglip.PATCH_NAMES, pooler=pooler)
    return replace(made, layer_class="Phi4MultimodalVisionEncoderLayer")


def pictures(c: Phi4MultimodalConfig) -> Pictures:
    """How texts show pictures."""
    vision = c.vision_config
    edge = spec.pair(vision.image_size)[0] // spec.pair(vision.patch_size)[0]
    return Pictures("vision_config", vision.image_token_id, vision.crop_size, edge, vision.feature_layer)


# -- sounds ----------------------------------------------------------------------------------------


def halves(prefix: str, node: str) -> dict[str, str]:
    """Paths of one of a layer's two feed-forwards, whose norm lies among them."""
    role = prefix.rstrip("_") or "feedforward"
    return {
        f"{role}_norm": f"{node}.layer_norm",
        f"{prefix}gate_up": f"{node}.gate_up_proj",
        f"{prefix}act": f"{node}.act_fn",
        **dict.fromkeys((f"{prefix}inner_dropout", f"{role}_dropout"), f"{node}.dropout"),
        f"{prefix}down": f"{node}.down_proj",
    }


NAMES = spec.Names(
    layers="encoders",
    layer={
        **halves("first_", "feed_forward_in"),
        "attention_norm": "layer_norm_att",
        **{role: f"self_attn.{role}_proj" for role in "qkvo"},
        **{"convolution_norm": "conv.layer_norm", "conv_gated": "conv.glu"},
        **{"conv_apart": "conv.dw_sep_conv_1d", "conv_act": "conv.act"},
        **{"conv_out": "conv.ext_pw_conv_1d", "conv_dropout": "conv.dropout"},
        **halves("", "feed_forward_out"),
        "feedforward_outer": "layer_norm",
    },
    embeddings={"standard": "encoder_embedding", "strided": "embed"},
    stack={"score_bias": "relative_attention_bias_layer.bias_values"},
)


def sounds_stem(c: Phi4MultimodalAudioConfig) -> spec.StandardisedSpectra:
    """Convolutions that halve frames and bins, one after the other.

    Raises:
        ValueError: for another factor than a power of two.
    """
    count = int(math.log2(c.time_reduction))
    if c.time_reduction != 2**count or not count:
        raise ValueError(f"time_reduction is 2, 4, 8 .., for each convolution halves, not {c.time_reduction}")
    return spec.StandardisedSpectra(
        c.input_size, c.hidden_size, c.nemo_conv_channels, count, activation=c.nemo_activation
    )


def layer(c: Phi4MultimodalAudioConfig) -> spec.Layer:
    """Half a feed-forward, attention, a convolution, the other half, and a norm."""
    norm, far = spec.Norm("layer", 1e-5), c.bias_max_distance
    first = spec.FeedForward(
        *(c.intermediate_size, c.activation),
        gated=True,
        fused=True,
        up_first=True,
        dropout=c.dropout_rate,
        prefix="first_",
    )
    mixer = spec.Favouring(
        spec.Heads.split(c.hidden_size, c.num_attention_heads),
        dropout=c.dropout_rate,
        score_bias=ClippedDistances(
            far if c.bias_symmetric else 2 * far, far, two_sided=not c.bias_symmetric
        ),
    )
    along = spec.SeparableConvolution(
        c.kernel_size, c.depthwise_multiplier, c.conv_glu_type, c.conv_activation, c.dropout_rate
    )
    rate = c.dropout_rate
    return spec.Layer(
        (
            spec.Part(first, "first", norm, dropout=rate, scale=0.5),
            spec.Part(mixer, "attention", norm),
            spec.Part(along, "convolution", norm),
            spec.Part(*(replace(first, prefix=""), "feedforward", norm), after=norm, dropout=rate, scale=0.5),
        )
    )


def sounds(c: Phi4MultimodalAudioConfig) -> spec.Stack:
    """The conformer.

    Raises:
        ValueError: for widths that its convolutions cannot have.
    """
    widths = {"ext_pw_out_channel", "depthwise_separable_out_channel"}
    strange = sorted(name for name in widths if getattr(c, name) != c.hidden_size)
    if strange or c.chunk_size >= 0:
        raise ValueError(
            f"{' and '.join(strange) or 'chunk_size'} must be "
            f"{c.hidden_size if strange else -1}: convolutions are as wide as states, which see whole sounds"
        )
    return spec.Stack(
        stem=sounds_stem(c),
        layers=(layer(c),) * c.num_blocks,
        names=NAMES,
        width=c.hidden_size,
        layer_class="Phi4MultimodalAudioConformerEncoderLayer",
        reports="plain",
        initial_std=c.initializer_range,
    )


# -- texts -----------------------------------------------------------------------------------------


def stack(c: Phi4MultimodalConfig) -> spec.Stack:
    """Phi-3's decoder."""
    return replace(phi3.stack(c), layer_class="Phi4MultimodalDecoderLayer")


ORDER = (
    ("encoder_embedding", "embed", "relative_attention_bias_layer", "encoders"),
    ("feed_forward_in", "self_attn", "conv", "feed_forward_out", "layer_norm_att", "layer_norm"),
    ("Phi4MultimodalAudioConformerAttention:", "q_proj", "k_proj", "v_proj", "o_proj"),
)
IMAGE = register(
    Family(
        model_type="phi4_multimodal_vision",
        name="Phi4MultimodalVision",
        config=Phi4MultimodalVisionConfig,
        base="phi4_vision",
        assembly=Single(
            image,
            spec.SharedPatches,
            reads=("pixel_values", "patch_attention_mask"),
            mask="patch_attention_mask",
        ),
        heads={},
        order=siglip.ORDER,
    )
)
AUDIO = register(
    Family(
        model_type="phi4_multimodal_audio",
        name="Phi4MultimodalAudio",
        config=Phi4MultimodalAudioConfig,
        base="model",
        assembly=SpanEncoder(sounds),
        heads={},
        order=ORDER,
    )
)
PHI4_MULTIMODAL = register(
    Family(
        model_type="phi4_multimodal",
        name="Phi4Multimodal",
        config=Phi4MultimodalConfig,
        base="model",
        assembly=VisionSpeechText(
            stack,
            base_class,
            pictures,
            lambda c: Sounds("audio_config", c.audio_config.audio_token_id),
            "embed_tokens_extend",
        ),
        heads={"ForCausalLM": Head("multimodal_lm", lambda c: Words("lm_head", bias=False))},
        ignored=phi3.PHI3.ignored,
        order=(*phi3.PHI3.order, *siglip.ORDER, *ORDER),
    )
)
