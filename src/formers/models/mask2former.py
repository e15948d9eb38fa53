"""Mask2Former (Cheng et al. 2021, arXiv:2112.01527): queries attend within their masks so far."""

from __future__ import annotations

from math import log2
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.masked_attention_segmentation import MaskedAttentionSegmenter
from formers.configs import PretrainedConfig
from formers.models import bart
from formers.models.classes import backbone_class
from formers.models.maskformer import STAGES
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.segment_matching import Points, SegmentMatching
from formers.nn.spec.masked_attention import MaskedQueries
from formers.tasks.query_segmentation import Labels


class Mask2FormerConfig(PretrainedConfig):
    """Configuration of Mask2Former."""

    model_type = "mask2former"
    attribute_map = {"hidden_size": "hidden_dim", "num_hidden_layers": "decoder_layers"}
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {
            **{"model_type": "swin", "depths": [2, 2, 18, 2], "drop_path_rate": 0.3, "out_features": STAGES},
        },
    }
    backbone_config: Any = None
    feature_size: int = 256
    mask_feature_size: int = 256
    hidden_dim: int = 256
    encoder_feedforward_dim: int = 1024
    activation_function: str = "relu"
    encoder_layers: int = 6
    decoder_layers: int = 10
    num_attention_heads: int = 8
    dropout: float = 0.0
    dim_feedforward: int = 2048
    pre_norm: bool = False
    enforce_input_projection: bool = False
    common_stride: int = 4
    ignore_value: int = 255
    num_queries: int = 100
    no_object_weight: float = 0.1
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    train_num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_sample_ratio: float = 0.75
    init_std: float = 0.02
    init_xavier_std: float = 1.0
    use_auxiliary_loss: bool = True
    feature_strides: list[int] = [4, 8, 16, 32]
    output_auxiliary_logits: bool | None = None


LOOKS = {
    "offsets": "self_attn.sampling_offsets",
    "weights": "self_attn.attention_weights",
    "v": "self_attn.value_proj",
    "o": "self_attn.output_proj",
}
_KEPT = ("attention_norm", "up", "down", "feedforward_norm")
_LAYER = {
    **{"own": "self_attn", "own_norm": "self_attn_layer_norm", "act": "activation_fn"},
    **{"across": "cross_attn", "across_norm": "cross_attn_layer_norm"},
    **{"up": "fc1", "down": "fc2", "last_norm": "final_layer_norm"},
}


def stack(c: Any) -> spec.Stack:
    """The stack over places of maps."""
    return over_maps(c, c.feature_size, bart.NORM, "Mask2Former")


def over_maps(c: Any, width: int, norm: spec.Norm, name: str) -> spec.Stack:
    """A stack over places of maps, for a family of that name."""
    names = spec.Names("layers", {**{role: bart.NAMES.layer[role] for role in _KEPT}, **LOOKS}, {})
    heads = spec.Heads.split(width, c.num_attention_heads)
    layer = spec.layer(
        spec.Deformable(heads, levels=3, placed=True),
        spec.FeedForward(c.encoder_feedforward_dim, "relu", dropout=c.dropout),
        norm,
        order="post",
        dropout=c.dropout,
    )
    return spec.Stack(
        stem=spec.MultiScaleRows(width),
        layers=(layer,) * c.encoder_layers,
        names=names,
        width=width,
        layer_class=f"{name}PixelDecoderEncoderLayer",
        initial_std=c.init_std,
    )


def larger(strides: list[int], common: int) -> int:
    """How many maps are added to what the stack makes."""
    return int(log2(min(strides[-3:])) - log2(common))


def queries(c: Mask2FormerConfig) -> MaskedQueries:
    """The queries."""
    return MaskedQueries(
        width=c.hidden_dim,
        heads=c.num_attention_heads,
        inner=c.dim_feedforward,
        layers=c.decoder_layers - 1,
        queries=c.num_queries,
        read=c.feature_size,
        pixels=c.mask_feature_size,
        act=c.activation_function,
        dropout=c.dropout,
        norms_first=c.pre_norm,
        projects=c.enforce_input_projection,
        gain=c.init_xavier_std,
        layer=_LAYER,
        layer_class="Mask2FormerMaskedAttentionDecoderLayer",
    )


def matching(c: Any) -> SegmentMatching:
    """What counts in the loss."""
    points = Points(c.train_num_points, c.oversample_ratio, c.importance_sample_ratio)
    weights = (c.class_weight, c.mask_weight, c.dice_weight, c.class_weight)
    return SegmentMatching(*weights, c.no_object_weight, points)


MASK2FORMER = register(
    Family(
        model_type="mask2former",
        name="Mask2Former",
        config=Mask2FormerConfig,
        base="model",
        assembly=MaskedAttentionSegmenter(
            lambda c: c.backbone_config,
            backbone_class,
            stack,
            lambda c: larger(c.feature_strides, c.common_stride),
            queries,
        ),
        heads={
            "ForUniversalSegmentation": Head("mask_labels", lambda c: Labels(matching(c), c.hidden_dim)),
        },
    )
)
