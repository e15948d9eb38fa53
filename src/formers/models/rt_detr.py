"""RT-DETR (Zhao et al. 2023, arXiv:2304.08069): a fast encoder of maps; queries begin at the best places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.hybrid_detection import HybridDetector, HybridEncoder, HybridQueryDetection
from formers.configs import PretrainedConfig
from formers.models import detr
from formers.models.classes import backbone_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.box_proposals import Denoising
from formers.nn.matching import Apart, Matching
from formers.nn.spec import multi_scale, nets
from formers.tasks.iterative_detection import Spec as Objects


class RTDetrConfig(PretrainedConfig):
    """Configuration of RT-DETR."""

    model_type = "rt_detr"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {"model_type": "rt_detr_resnet", "out_indices": [2, 3, 4]}
    }
    attribute_map = {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads"}
    initializer_range: float = 0.01
    initializer_bias_prior_prob: float | None = None
    layer_norm_eps: float = 1e-5
    batch_norm_eps: float = 1e-5
    freeze_backbone_batch_norms: bool = True
    encoder_hidden_dim: int = 256
    encoder_in_channels: list[int] = [512, 1024, 2048]
    feat_strides: list[int] = [8, 16, 32]
    encoder_layers: int = 1
    encoder_ffn_dim: int = 1024
    encoder_attention_heads: int = 8
    dropout: float = 0.0
    activation_dropout: float = 0.0
    encode_proj_layers: list[int] = [2]
    positional_encoding_temperature: int = 10000
    encoder_activation_function: str = "gelu"
    activation_function: str = "silu"
    eval_size: int | list[int] | None = None
    normalize_before: bool = False
    hidden_expansion: float = 1.0
    d_model: int = 256
    num_queries: int = 300
    decoder_in_channels: list[int] = [256, 256, 256]
    decoder_ffn_dim: int = 1024
    num_feature_levels: int = 3
    decoder_n_points: int = 4
    decoder_layers: int = 6
    decoder_attention_heads: int = 8
    decoder_activation_function: str = "relu"
    attention_dropout: float = 0.0
    num_denoising: int = 100
    label_noise_ratio: float = 0.5
    box_noise_scale: float = 1.0
    learn_initial_query: bool = False
    anchor_image_size: int | list[int] | None = None
    disable_custom_kernels: bool = True
    with_box_refine: bool = True
    is_encoder_decoder: bool = True
    matcher_alpha: float = 0.25
    matcher_gamma: float = 2.0
    matcher_class_cost: float = 2.0
    matcher_bbox_cost: float = 5.0
    matcher_giou_cost: float = 2.0
    use_focal_loss: bool = True
    auxiliary_loss: bool = True
    focal_loss_alpha: float = 0.75
    focal_loss_gamma: float = 2.0
    weight_loss_vfl: float = 1.0
    weight_loss_bbox: float = 5.0
    weight_loss_giou: float = 2.0
    eos_coefficient: float = 1e-4


NAMES = detr.NAMES
LOOKS = NAMES.with_(
    layer={
        **dict.fromkeys(("cross_q", "cross_k")),
        "cross_offsets": "encoder_attn.sampling_offsets",
        "cross_weights": "encoder_attn.attention_weights",
        "cross_v": "encoder_attn.value_proj",
        "cross_o": "encoder_attn.output_proj",
    }
)


def looks(c: Any) -> spec.Deformable:
    """What queries look at."""
    heads = spec.Heads.split(c.d_model, c.decoder_attention_heads)
    return spec.Deformable(
        heads, placed=True, cross=True, levels=c.num_feature_levels, points=c.decoder_n_points
    )


def half(
    c: RTDetrConfig,
    decoder: bool,
    looks: Callable[[Any], spec.Deformable] = looks,
    names: spec.Names = LOOKS,
    name: str = "RTDetr",
) -> spec.Stack:
    """The decoder, whose queries look at what `looks` says, or the layers over one map."""
    width, norm = c.d_model if decoder else c.encoder_hidden_dim, spec.Norm("layer", c.layer_norm_eps)
    heads = c.decoder_attention_heads if decoder else c.encoder_attention_heads
    drop = c.attention_dropout if decoder else c.dropout
    inner = c.decoder_ffn_dim if decoder else c.encoder_ffn_dim
    act = c.decoder_activation_function if decoder else c.encoder_activation_function
    layer = spec.layer(
        spec.Attention(spec.Heads.split(width, heads), dropout=drop, placed=True),
        spec.FeedForward(inner, act, dropout=c.activation_dropout),
        norm,
        order="pre" if c.normalize_before and not decoder else "post",
        cross=looks(c) if decoder else None,
        dropout=c.dropout,
    )
    if c.normalize_before and not decoder:  # what the last part reads is what its result is added to
        *first, last = layer.parts
        layer = replace(layer, parts=(*first, replace(last, keeps="normed")))
    stem = (
        spec.MultiScaleRows(width, asks=True, logits=True, places="boxes", learns=True) if decoder else None
    )
    return spec.Stack(
        stem=stem or spec.Vectors(width),
        layers=(layer,) * (c.decoder_layers if decoder else c.encoder_layers),
        names=names.with_(embeddings={"query_places": "query_pos_head"}) if decoder else NAMES,
        width=width,
        layer_class=f"{name}DecoderLayer" if decoder else f"{name}EncoderLayer",
        reports="plain",
        initial_std=c.initializer_range,
    )


def conv(
    c: RTDetrConfig, read: int, made: int, kernel: int, stride: int = 1, act: str | None = None
) -> nets.Node:
    """A convolution, a batch norm, an activation."""
    parts = {
        "conv": nets.Conv(read, made, kernel, stride),
        "norm": nets.BatchNorm(made, c.batch_norm_eps, deviation=c.initializer_range),
        "activation": nets.Act(act),
    }
    return nets.Node(parts)


def crossing(c: RTDetrConfig) -> nets.Node:
    """Of two maps side by side: one way through blocks of two convolutions each, and one beside them."""
    width, act = c.encoder_hidden_dim, c.activation_function
    inner = int(width * c.hidden_expansion)
    block = {
        "conv1": conv(c, inner, inner, 3),
        "conv2": conv(c, inner, inner, 1),
        "activation": nets.Act(act),
    }
    run = (nets.BEGIN, "conv1", nets.Plus("conv2"), "activation")
    parts = {
        "conv1": conv(c, 2 * width, inner, 1, act=act),
        "conv2": conv(c, 2 * width, inner, 1, act=act),
        "bottlenecks": nets.row(*(nets.Node(block, run) for _ in range(3))),
        "conv3": nets.Act() if inner == width else conv(c, inner, width, 1, act=act),
    }
    return nets.Node(parts, (nets.BEGIN, "conv1", "bottlenecks", nets.Plus("conv2"), "conv3"))


def hybrid(c: RTDetrConfig) -> HybridEncoder:
    """The encoder."""
    width, count = c.encoder_hidden_dim, len(c.encoder_in_channels) - 1
    parts = {
        "lateral_convs": nets.row(
            *(conv(c, width, width, 1, act=c.activation_function) for _ in range(count))
        ),
        "fpn_blocks": nets.row(*(crossing(c) for _ in range(count))),
        "downsample_convs": nets.row(
            *(conv(c, width, width, 3, 2, c.activation_function) for _ in range(count))
        ),
        "pan_blocks": nets.row(*(crossing(c) for _ in range(count))),
    }

    def both(first: str, second: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            zip(multi_scale.numbered(first, count), multi_scale.numbered(second, count), strict=True)
        )

    run = (
        multi_scale.Downward(both("lateral_convs", "fpn_blocks")),
        multi_scale.Upward(both("downsample_convs", "pan_blocks")),
    )
    return HybridEncoder(
        half(c, False),
        c.encode_proj_layers,
        "encoder",
        nets.Node(parts, run),
        float(c.positional_encoding_temperature),
        c.eval_size is None,
    )


def prior(c: RTDetrConfig) -> float:
    """How likely a label is at first."""
    return c.initializer_bias_prior_prob or 1 / (c.num_labels + 1)


def narrow(read: int, made: int, c: RTDetrConfig, eps: float, stride: int = 1) -> nets.Node:
    """A convolution and a batch norm."""
    return nets.row(
        nets.Conv(read, made, 3 if stride > 1 else 1, stride),
        nets.BatchNorm(made, eps, deviation=c.initializer_range),
    )


PATHS = {
    "maps": "backbone",
    "read": "encoder_input_proj",
    "encoder": "encoder",
    "noise": "denoising_class_embed",
    "own": "weight_embedding",
    "best": "enc_output",
    "labels": "enc_score_head",
    "boxes": "enc_bbox_head",
    "made": "decoder_input_proj",
}


def about(c: RTDetrConfig) -> HybridDetector:
    """What stands beside the decoder."""
    extra = c.num_feature_levels - len(c.decoder_in_channels)
    reads = [*c.decoder_in_channels, *(c.decoder_in_channels[-1:] + [c.d_model] * extra)[:extra]]
    strides = [1] * len(c.decoder_in_channels) + [2] * extra
    noise = Denoising(c.num_denoising, c.num_labels, c.label_noise_ratio, c.box_noise_scale)
    return HybridDetector(
        hybrid(c),
        [narrow(one, c.encoder_hidden_dim, c, 1e-5) for one in c.encoder_in_channels],
        [narrow(one, c.d_model, c, c.batch_norm_eps, step) for one, step in zip(reads, strides, strict=True)],
        c.num_queries,
        c.num_labels,
        c.layer_norm_eps,
        prior(c),
        PATHS,
        c.freeze_backbone_batch_norms,
        c.learn_initial_query,
        noise if c.num_denoising > 0 else None,
    )


def matching(c: RTDetrConfig) -> Matching:
    """What counts in the loss."""
    apart = Apart("varifocal", c.matcher_alpha, c.matcher_gamma, c.focal_loss_alpha, c.focal_loss_gamma)
    weights = {f"loss_{part}": getattr(c, f"weight_loss_{part}") for part in ("vfl", "bbox", "giou")}
    costs = (c.matcher_class_cost, c.matcher_bbox_cost, c.matcher_giou_cost)
    return Matching(*costs, c.eos_coefficient, weights, apart, weighed=True, layer="_aux_")


def boxes(c: RTDetrConfig) -> Objects:
    """What labels and moves queries."""
    paths = ("model.decoder.class_embed", "model.decoder.bbox_embed")
    return Objects(matching(c), c.decoder_layers, *paths, c.auxiliary_loss, prior(c))


# newer attribute paths -> those of the files
ALIASES = {"encoder.aifi": "encoder.encoder"}
RT_DETR = register(
    Family(
        model_type="rt_detr",
        name="RTDetr",
        config=RTDetrConfig,
        base="model",
        assembly=HybridQueryDetection(half, about, backbone_class),
        heads={"ForObjectDetection": Head("iterative_detection", boxes)},
        aliases=ALIASES,
    )
)
