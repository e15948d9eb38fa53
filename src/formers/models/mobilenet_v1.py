"""MobileNet V1 (Howard et al. 2017, arXiv:1704.04861): convolutions of single channels, and of places."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.specs import Sequences


class MobileNetV1Config(PretrainedConfig):
    """Configuration of MobileNet V1."""

    model_type = "mobilenet_v1"
    num_channels: int = 3
    image_size: int = 224
    depth_multiplier: float = 1.0
    min_depth: int = 8
    hidden_act: str = "relu6"
    tf_padding: bool = True
    classifier_dropout_prob: float = 0.999
    initializer_range: float = 0.02
    layer_norm_eps: float = 0.001


WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def conv(
    c: MobileNetV1Config, read: int, made: int, kernel: int, stride: int = 1, groups: int = 1
) -> nets.Node:
    """A convolution, a batch norm, an activation."""
    parts = {
        "convolution": nets.Conv(read, made, kernel, stride, groups, same=c.tf_padding),
        "normalization": nets.BatchNorm(made, c.layer_norm_eps, 0.9997),
        "activation": nets.Act(c.hidden_act),
    }
    return nets.Node(parts, name="MobileNetV1ConvLayer")


def net(c: MobileNetV1Config) -> nets.Net:
    """Convolutions, by turns of every channel by itself, and of every place."""
    widths = [max(int(wide * c.depth_multiplier), c.min_depth) for wide in WIDTHS]
    layers = [
        layer
        for read, made, stride in zip(widths, widths[1:], STRIDES, strict=False)
        for layer in (conv(c, read, read, 3, stride, read), conv(c, read, made, 1))
    ]
    return nets.Net(
        {
            "conv_stem": conv(c, c.num_channels, widths[0], 3, 2),
            "layer": nets.row(*layers, keep=True),
            "pooler": nets.Pool(),
        },
        ("conv_stem", "layer"),
        channels=c.num_channels,
        widths=tuple(widths),
        pool=("pooler", nets.FLAT),
        std=c.initializer_range,
    )


LABELS = Head(
    "image_classification",
    lambda c: Sequences("classifier", dropout=c.classifier_dropout_prob, dropout_path="dropout"),
    pooler=True,
)
MOBILENET = register(
    Family(
        model_type="mobilenet_v1",
        name="MobileNetV1",
        config=MobileNetV1Config,
        base="mobilenet_v1",
        assembly=FeatureMaps(net),
        heads={"ForImageClassification": LABELS},
    )
)
