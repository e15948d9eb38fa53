"""MobileNet V2 (Sandler et al. 2018, arXiv:1801.04381): wide maps of single channels between narrow ones."""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense
from formers.tasks.specs import Sequences


class MobileNetV2Config(PretrainedConfig):
    """Configuration of MobileNet V2."""

    model_type = "mobilenet_v2"
    num_channels: int = 3
    image_size: int | list[int] = 224
    depth_multiplier: float = 1.0
    depth_divisible_by: int = 8
    min_depth: int = 8
    expand_ratio: float = 6.0
    output_stride: int = 32
    first_layer_is_expansion: bool = True
    finegrained_output: bool = True
    hidden_act: str = "relu6"
    tf_padding: bool = True
    classifier_dropout_prob: float = 0.8
    initializer_range: float = 0.02
    layer_norm_eps: float = 0.001
    semantic_loss_ignore_index: int = 255

    def rounded(self, channels: float) -> int:
        """So many channels, as a multiple of the divisor."""
        return nets.rounded(channels, self.depth_divisible_by, self.min_depth)

    def scaled(self, channels: int) -> int:
        """So many channels times the multiplier, likewise."""
        return self.rounded(round(channels * self.depth_multiplier))


WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def conv(
    c: Any,
    read: int,
    made: int,
    kernel: int = 1,
    act: str | None = None,
    eps: float | None = None,
    **more: Any,
) -> nets.Node:
    """A convolution, a batch norm, an activation."""
    parts: dict[str, Any] = {
        "convolution": nets.Conv(read, made, kernel, same=c.tf_padding, **more),
        "normalization": nets.BatchNorm(made, c.layer_norm_eps if eps is None else eps, 0.997),
    }
    return nets.Node({**parts, "activation": nets.Act(act)} if act else parts, name="MobileNetV2ConvLayer")


def inverted(c: Any, read: int, made: int, stride: int, dilation: int, make: Any = conv) -> nets.Node:
    """Wider, every channel by itself, narrow again; added to what is read where sizes stay."""
    wide, act = c.rounded(round(read * c.expand_ratio)), c.hidden_act
    parts = {
        "expand_1x1": make(c, read, wide, 1, act),
        "conv_3x3": make(c, wide, wide, 3, act, stride=stride, groups=wide, dilation=dilation),
        "reduce_1x1": make(c, wide, made, 1),
    }
    return nets.Node(parts, (nets.BEGIN, *parts, nets.SUM) if stride == 1 and read == made else None)


def _layers(c: MobileNetV2Config, widths: list[int]) -> list[nets.Node]:
    """Past `output_stride` reaches become wider, and maps no smaller."""
    most, before = c.output_stride, accumulate(STRIDES, mul, initial=2)
    each = zip(widths, widths[1:], STRIDES, before, strict=False)
    return [
        inverted(c, read, made, stride if whole < most else 1, max(whole // most, 1))
        for read, made, stride, whole in each
    ]


def net(c: MobileNetV2Config) -> nets.Net:
    """A stem, layers, and a last convolution of every place."""
    widths, first, act = [c.scaled(wide) for wide in WIDTHS], c.scaled(32), c.hidden_act
    last = 1280 if c.finegrained_output and c.depth_multiplier < 1 else c.scaled(1280)
    expand = {} if c.first_layer_is_expansion else {"expand_1x1": conv(c, first, first, 1, act)}
    stem = {
        "first_conv": conv(c, c.num_channels, first, 3, act, stride=2),
        **expand,
        "conv_3x3": conv(c, first, first, 3, act, groups=first),
        "reduce_1x1": conv(c, first, widths[0]),
    }
    return nets.Net(
        {
            "conv_stem": nets.Node(stem),
            "layer": nets.row(*_layers(c, widths), keep=True),
            "conv_1x1": conv(c, widths[-1], last, 1, act),
            "pooler": nets.Pool(),
        },
        ("conv_stem", "layer", "conv_1x1"),
        channels=c.num_channels,
        widths=tuple(widths),
        last=last,
        pool=("pooler", nets.FLAT),
        std=c.initializer_range,
    )


def pixels(c: MobileNetV2Config) -> Dense:
    """Labels of pixels, from every place of the last layer's map and the mean of all (arXiv:1802.02611)."""
    read, near = c.scaled(WIDTHS[-1]), 1e-5
    parts = {
        "avg_pool": nets.Pool(),
        "conv_pool": conv(c, read, 256, 1, "relu", near),
        "conv_aspp": conv(c, read, 256, 1, "relu", near),
        "conv_projection": conv(c, 512, 256, 1, "relu", near),
        "dropout": nets.Drop(c.classifier_dropout_prob, channels=True),
        "classifier": nets.Node({"convolution": nets.Conv(256, c.num_labels, bias=True, same=c.tf_padding)}),
    }
    branches = multi_scale.Branches((("avg_pool", "conv_pool"), ("conv_aspp",)))
    head = nets.Node(parts, (branches, nets.TOGETHER, "conv_projection", "dropout", "classifier"))
    run = (multi_scale.Pick(-1), "segmentation_head")
    return Dense({"segmentation_head": head}, run, ignore=c.semantic_loss_ignore_index)


LABELS = Head(
    "image_classification",
    lambda c: Sequences("classifier", dropout=c.classifier_dropout_prob, dropout_path="dropout"),
    pooler=True,
)
MOBILENET_V2 = register(
    Family(
        model_type="mobilenet_v2",
        name="MobileNetV2",
        config=MobileNetV2Config,
        base="mobilenet_v2",
        assembly=FeatureMaps(net),
        heads={
            "ForImageClassification": LABELS,
            "ForSemanticSegmentation": Head("semantic_segmentation", pixels, pooler=False),
        },
    )
)
