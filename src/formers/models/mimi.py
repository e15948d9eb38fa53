"""Mimi (Défossez et al. 2024, arXiv:2410.00037): sounds as codes of few frames a second, also as streams."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from formers.assemblies.audio.streaming_codec import FramedHalf, StreamingCodec
from formers.assemblies.family import Family
from formers.configs import PretrainedConfig
from formers.models import encodec, llama
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.spec.codec import FramedCodec


class MimiConfig(PretrainedConfig):
    """Configuration of Mimi."""

    model_type = "mimi"
    sampling_rate: int = 24_000
    audio_channels: int = 1
    hidden_size: int = 512
    num_filters: int = 64
    num_residual_layers: int = 1
    upsampling_ratios: list[int] = [8, 6, 5, 4]  # noqa: RUF012  (fields declare defaults)
    kernel_size: int = 7
    last_kernel_size: int = 3
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "constant"
    compress: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 2048
    codebook_dim: int = 256
    num_quantizers: int = 32
    use_conv_shortcut: bool = False
    vector_quantization_hidden_dimension: int = 256
    num_semantic_quantizers: int = 1
    upsample_groups: int = 512
    num_hidden_layers: int = 8
    intermediate_size: int = 2048
    num_attention_heads: int = 8
    num_key_value_heads: int = 8
    head_dim: int | None = None
    hidden_act: str = "gelu"
    max_position_embeddings: int = 8000
    initializer_range: float = 0.02
    norm_eps: float = 1e-5
    use_cache: bool = False
    use_streaming: bool = False
    rope_parameters: dict[str, Any] | None = None
    sliding_window: int = 250
    attention_dropout: float = 0.0
    layer_scale_initial_scale: float = 0.01
    attention_bias: bool = False
    frame_rate: float | None = None

    def __init__(self, **values: Any) -> None:
        rate = values.pop("_frame_rate", None)
        super().__init__(**values)
        self.head_dim = self.head_dim or self.hidden_size // self.num_attention_heads
        told = self.frame_rate or rate
        self.frame_rate = self.sampling_rate / self.frame_size if told is None else told

    @property
    def frame_size(self) -> int:
        """Samples of a frame."""
        return 2 * math.prod(self.upsampling_ratios)

    @property
    def encodec_frame_rate(self) -> int:
        """Places of a second that the layers see."""
        return math.ceil(self.sampling_rate / math.prod(self.upsampling_ratios))

    @property
    def num_codebooks(self) -> int:
        """How many books there are."""
        return self.num_quantizers


class MimiEncoderConfig(MimiConfig):
    """Configuration of what makes frames of sounds; also read from files of the whole."""

    model_type = "mimi_encoder"
    reads = ("mimi",)


class MimiDecoderConfig(MimiConfig):
    """Configuration of what makes sounds of frames; also read from files of the whole."""

    model_type = "mimi_decoder"
    reads = ("mimi",)


NAMES = spec.Names(
    layers="layers",
    layer={
        **{role: path for role, path in llama.NAMES.layer.items() if role in ("q", "k", "v", "o")},
        **{"attention_norm": "input_layernorm", "attention_gain": "self_attn_layer_scale.scale"},
        **{"feedforward_norm": "post_attention_layernorm", "feedforward_gain": "mlp_layer_scale.scale"},
        **{"up": "mlp.fc1", "act": "mlp.activation_fn", "down": "mlp.fc2"},
    },
    embeddings={},
    stack={"rotary": "rotary_emb"},
)


def stack(c: Any) -> spec.Stack:
    """Layers whose attention reaches back a window, and whose sums begin small."""
    plain = spec.layer(
        llama.attention(c, Causal(c.sliding_window), c.attention_bias),
        spec.FeedForward(c.intermediate_size, c.hidden_act, bias=False),
        spec.Norm("layer", c.norm_eps),
        "pre",
    )
    one = spec.Layer(tuple(replace(part, gain=c.layer_scale_initial_scale) for part in plain.parts))
    return spec.Stack(
        stem=spec.SaidRows(c.hidden_size),
        layers=(one,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="MimiTransformerLayer",
        decoder=True,
        reports="plain",
        initial_std=c.initializer_range,
    )


def codec(c: Any) -> FramedCodec:
    """The whole.

    Raises:
        ValueError: for sizes that do not fit each other.
    """
    if c.codebook_size & (c.codebook_size - 1) or c.codebook_dim != c.vector_quantization_hidden_dimension:
        raise ValueError(
            "codebook_size is a power of 2, and codebook_dim is vector_quantization_hidden_dimension, but "
            f"they are {c.codebook_size}, {c.codebook_dim} and {c.vector_quantization_hidden_dimension}"
        )
    return FramedCodec(
        waves=encodec.waves(c, 0, "none"),
        stride=int(c.encodec_frame_rate / c.frame_rate),
        groups=c.upsample_groups,
        first=c.num_semantic_quantizers,
        narrow=c.vector_quantization_hidden_dimension,
    )


PATHS = {
    **{"down": "encoder", "up": "decoder", "books": "quantizer"},
    **{"before": "encoder_transformer", "behind": "decoder_transformer"},
    **{"fewer": "downsample", "more": "upsample"},
}
MIMI = register(
    Family(
        model_type="mimi",
        name="Mimi",
        config=MimiConfig,
        base="mimi",
        assembly=StreamingCodec(codec, stack, PATHS),
        heads={},
    )
)
MIMI_ENCODER = register(
    replace(
        MIMI,
        model_type="mimi_encoder",
        name="MimiEncoder",
        config=MimiEncoderConfig,
        base="encoder",
        assembly=FramedHalf(codec, stack, PATHS, hears=True),
    )
)
MIMI_DECODER = register(
    replace(
        MIMI,
        model_type="mimi_decoder",
        name="MimiDecoder",
        config=MimiDecoderConfig,
        base="decoder",
        assembly=FramedHalf(codec, stack, PATHS, hears=False),
    )
)
