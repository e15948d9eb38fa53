"""The ResNet of RT-DETR (Zhao et al. 2023, arXiv:2304.08069): maps are halved by means before shortcuts."""

from __future__ import annotations

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.models import resnet
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps


class RTDetrResNetConfig(resnet.ResNetConfig):
    """Configuration of RT-DETR's ResNet."""

    model_type = "rt_detr_resnet"


def conv(read: int, made: int, kernel: int = 3, stride: int = 1, act: str | None = None) -> nets.Node:
    """A convolution, a batch norm, an activation."""
    return resnet.conv(read, made, kernel, stride, act, "RTDetrResNet")


def shortcut(c: RTDetrResNetConfig, read: int, made: int, stride: int, first: bool) -> nets.Node | nets.Act:
    """What is added to a block's result; of a map that shrinks means are taken first."""
    basic = c.layer_type == "basic"
    if not (first if basic else read != made or stride != 1):
        return nets.Act()
    halved = stride == 2 and not (basic and read == made)
    parts = conv(read, made, 1, 1 if halved else stride).parts
    kept = {key: parts[key] for key in ("convolution", "normalization")}
    made_of = nets.Node(kept, name="RTDetrResNetShortCut")
    return nets.row(nets.Pool("mean", 2, 2, whole=True), made_of) if halved else made_of


def block(c: RTDetrResNetConfig, read: int, made: int, stride: int, first: bool) -> nets.Node:
    """Two convolutions, or three of which the middle one is narrow."""
    inner, narrow = "relu", made // 4
    if c.layer_type == "basic":
        layer = nets.row(conv(read, made, 3, stride, inner), conv(made, made))
    else:
        early, late = (stride, 1) if c.downsample_in_bottleneck else (1, stride)
        layer = nets.row(
            conv(read, narrow, 1, early, inner), conv(narrow, narrow, 3, late, inner), conv(narrow, made, 1)
        )
    parts = {
        "shortcut": shortcut(c, read, made, stride, first),
        "layer": layer,
        "activation": nets.Act(c.hidden_act),
    }
    kind = "Basic" if c.layer_type == "basic" else "BottleNeck"
    run = (nets.BEGIN, "layer", nets.Plus("shortcut"), "activation")
    return nets.Node(parts, run, f"RTDetrResNet{kind}Layer")


def net(c: RTDetrResNetConfig) -> nets.Net:
    """Three first convolutions, and stages."""
    half, width, act = c.embedding_size // 2, c.embedding_size, c.hidden_act
    first = nets.row(
        conv(c.num_channels, half, 3, 2, act), conv(half, half, 3, 1, act), conv(half, width, 3, 1, act)
    )
    embedder = nets.Node({"embedder": first, "pooler": nets.Pool("largest", 3, 2, 1)})
    return nets.Net(
        {"embedder": embedder, "encoder": resnet.encoder(c, block, "RTDetrResNetStage")},
        channels=c.num_channels,
        widths=(width, *c.hidden_sizes),
        layer_classes=("RTDetrResNetConvLayer", "RTDetrResNetShortCut"),
    )


RT_DETR_RESNET = register(
    Family(
        model_type="rt_detr_resnet",
        name="RTDetrResNet",
        config=RTDetrResNetConfig,
        base="resnet",
        bare="",
        assembly=FeatureMaps(net),
        heads={"Backbone": Head("backbone", lambda c: Maps([c.embedding_size, *c.hidden_sizes]), flat=True)},
    )
)
