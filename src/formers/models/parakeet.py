"""Parakeet (Rekesh et al. 2023, arXiv:2305.05084): a fast conformer that spells what it hears."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.audio.waveform_encoder import SpectraEncoder
from formers.assemblies.family import Family, Head
from formers.assemblies.nested import Within
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec
from formers.tasks.frame_classification import Spec as Moments


class ParakeetEncoderConfig(PretrainedConfig):
    """Configuration of the encoder. As many heads make keys and values as queries."""

    model_type = "parakeet_encoder"
    keys_to_ignore_at_inference = ["past_key_values"]
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 8
    intermediate_size: int = 4096
    hidden_act: str = "silu"
    attention_bias: bool = True
    convolution_bias: bool = True
    conv_kernel_size: int = 9
    subsampling_factor: int = 8
    subsampling_conv_channels: int = 256
    num_mel_bins: int = 80
    subsampling_conv_kernel_size: int = 3
    subsampling_conv_stride: int = 2
    dropout: float = 0.1
    dropout_positions: float = 0.0
    layerdrop: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    max_position_embeddings: int = 5000
    scale_input: bool = True
    initializer_range: float = 0.02

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.num_key_value_heads = self.num_attention_heads


class ParakeetCTCConfig(PretrainedConfig):
    """Configuration of the encoder with a head that spells."""

    model_type = "parakeet_ctc"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": ParakeetEncoderConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"encoder_config": {}}
    vocab_size: int = 1025
    ctc_loss_reduction: str = "mean"
    ctc_zero_infinity: bool = True
    pad_token_id: int | None = 1024

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.initializer_range = self.encoder_config.initializer_range

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples from one row to the next, with a frame every 160."""
        return int(self.encoder_config.subsampling_factor) * 160


def halves(prefix: str, node: str) -> dict[str, str]:
    """Paths of one of a layer's two feed-forwards."""
    return {
        f"{prefix}up": f"{node}.linear1",
        f"{prefix}act": f"{node}.activation",
        f"{prefix}down": f"{node}.linear2",
    }


NAMES = spec.Names(
    layers="layers",
    layer={
        **{"first_norm": "norm_feed_forward1", **halves("first_", "feed_forward1")},
        "attention_norm": "norm_self_att",
        **{role: f"self_attn.{role}_proj" for role in "qkvo"},
        **{"r": "self_attn.relative_k_proj", "content_bias": "self_attn.bias_u"},
        "distance_bias": "self_attn.bias_v",
        **{"convolution_norm": "norm_conv", "conv_in": "conv.pointwise_conv1"},
        **{"conv_along": "conv.depthwise_conv", "conv_along_norm": "conv.norm"},
        **{"conv_act": "conv.activation", "conv_out": "conv.pointwise_conv2"},
        **{"feedforward_norm": "norm_feed_forward2", **halves("", "feed_forward2")},
        "feedforward_outer": "norm_out",
    },
    embeddings={"strided": "subsampling"},
    stack={},
)


def layer(c: ParakeetEncoderConfig) -> spec.Layer:
    """Half a feed-forward, attention, a convolution, the other half, and a norm."""
    norm, heads = spec.Norm("layer", 1e-5), spec.Heads.split(c.hidden_size, c.num_attention_heads)
    first = spec.FeedForward(
        *(c.intermediate_size, c.hidden_act),
        bias=c.attention_bias,
        dropout=c.activation_dropout,
        prefix="first_",
    )
    mixer = spec.Distant(
        heads,
        dropout=c.attention_dropout,
        bias=c.attention_bias,
        key_bias=c.attention_bias,
        out_bias=c.attention_bias,
        waves_dropout=c.dropout_positions,
        waves_each=True,
    )
    along = spec.GatedConvolution(
        c.conv_kernel_size, act=c.hidden_act, bias=c.convolution_bias, hides_gated=True
    )
    return spec.Layer(
        (
            spec.Part(first, "first", norm, scale=0.5),
            spec.Part(mixer, "attention", norm),
            spec.Part(along, "convolution", norm),
            spec.Part(*(replace(first, prefix=""), "feedforward", norm), after=norm, scale=0.5),
        )
    )


def stack(c: ParakeetEncoderConfig) -> spec.Stack:
    """The encoder, which has no norm behind it."""
    return spec.Stack(
        stem=spec.StridedSpectra(
            c.num_mel_bins,
            c.hidden_size,
            c.subsampling_conv_channels,
            int(math.log2(c.subsampling_factor)),
            kernel=c.subsampling_conv_kernel_size,
            stride=c.subsampling_conv_stride,
            scale=math.sqrt(c.hidden_size) if c.scale_input else 1.0,
            dropout=c.dropout,
        ),
        layers=(layer(c),) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="ParakeetEncoderBlock",
        layer_drop=c.layerdrop,
        reports="plain",
        initial_std=c.initializer_range,
    )


PARAKEET_ENCODER = register(
    Family(
        model_type="parakeet_encoder",
        name="Parakeet",
        config=ParakeetEncoderConfig,
        base="encoder",
        bare="Encoder",
        assembly=SpectraEncoder(stack),
        heads={},
    )
)
PARAKEET_CTC = register(
    Family(
        model_type="parakeet_ctc",
        name="ParakeetCTC",
        config=ParakeetCTCConfig,
        base="model",
        spelt={"Model": "ParakeetForCTC"},
        assembly=Within(base_class, "encoder", "encoder_config", PARAKEET_ENCODER.assembly),
        heads={"Model": Head("spelled_rows", lambda c: Moments("ctc_head", single=True), flat=True)},
    )
)
