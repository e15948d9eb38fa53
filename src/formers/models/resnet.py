"""ResNet (He et al. 2015, arXiv:1512.03385): convolutions whose results are added to what they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import BackboneConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps
from formers.tasks.specs import Sequences


class ResNetConfig(BackboneConfig):
    """Configuration of ResNet."""

    model_type = "resnet"
    _available = {"layer_type": ("basic", "bottleneck")}
    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: list[int] = [256, 512, 1024, 2048]
    depths: list[int] = [3, 4, 6, 3]
    layer_type: str = "bottleneck"
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False


def conv(
    read: int,
    made: int,
    kernel: int = 3,
    stride: int = 1,
    act: str | None = None,
    family: str = "ResNet",
    groups: int = 1,
) -> nets.Node:
    """A convolution, a batch norm, an activation; `family` begins the name of its class."""
    parts = {
        "convolution": nets.Conv(read, made, kernel, stride, groups, spread=True),
        "normalization": nets.BatchNorm(made),
        "activation": nets.Act(act),
    }
    return nets.Node(parts, name=f"{family}ConvLayer")


def residual(
    layer: nets.Node, read: int, made: int, stride: int, act: str, name: str, family: str = "ResNet"
) -> nets.Node:
    """Its result is added to what it reads, or to what a convolution makes of that where sizes change."""
    shortcut: nets.Node | nets.Act = nets.Act()
    if read != made or stride != 1:
        whole = conv(read, made, 1, stride).parts
        kept = {key: whole[key] for key in ("convolution", "normalization")}
        shortcut = nets.Node(kept, name=f"{family}ShortCut")
    parts = {"shortcut": shortcut, "layer": layer, "activation": nets.Act(act)}
    return nets.Node(parts, (nets.BEGIN, "layer", nets.Plus("shortcut"), "activation"), name)


def block(c: ResNetConfig, read: int, made: int, stride: int, first: bool) -> nets.Node:
    """Two convolutions, or three of which the middle one is narrow."""
    act, inner = c.hidden_act, "relu"  # within a block, whatever the config says: so the ecosystem has it
    if c.layer_type == "basic":
        layer = nets.row(conv(read, made, 3, stride, inner), conv(made, made))
        return residual(layer, read, made, stride, act, "ResNetBasicLayer")
    narrow, early = made // 4, first and c.downsample_in_bottleneck
    layer = nets.row(
        conv(read, narrow, 1, stride if early else 1, inner),
        conv(narrow, narrow, 3, 1 if early else stride, inner),
        conv(narrow, made, 1),
    )
    return residual(layer, read, made, stride, act, "ResNetBottleNeckLayer")


def encoder(c: Any, make: Callable[..., nets.Node], name: str) -> nets.Node:
    """Stages, of which each but the first halves height and width, for certain."""

    def one(read: int, made: int, stage: int, number: int) -> nets.Node:
        halves = not number and (stage or c.downsample_in_first_stage)
        return make(c, read, made, 2 if halves else 1, not number)

    return staged(nets.stages(c.embedding_size, c.hidden_sizes, c.depths, one), name)


def staged(found: list[nets.Node], name: str = "") -> nets.Node:
    """An encoder of rows of blocks; what each reads, and what the last makes, are hidden states."""
    stages = nets.row(*(nets.Node({"layers": layers}, name=name) for layers in found), keep=True)
    return nets.Node({"stages": stages}, (nets.KEEP, "stages"), record=True)


def net(c: ResNetConfig) -> nets.Net:
    """A wide first convolution, and stages."""
    embedder = {
        "embedder": conv(c.num_channels, c.embedding_size, 7, 2, c.hidden_act),
        "pooler": nets.Pool("largest", 3, 2, 1),
    }
    return nets.Net(
        {"embedder": nets.Node(embedder), "encoder": encoder(c, block, "ResNetStage"), "pooler": nets.Pool()},
        ("embedder", "encoder"),
        channels=c.num_channels,
        widths=(c.embedding_size, *c.hidden_sizes),
        pool=("pooler",),
        layer_classes=("ResNetConvLayer", "ResNetShortCut"),
    )


LABELS = Head("image_classification", lambda c: Sequences("classifier.1", flat="classifier.0"), pooler=True)
RESNET = register(
    Family(
        model_type="resnet",
        name="ResNet",
        config=ResNetConfig,
        base="resnet",
        assembly=FeatureMaps(net),
        heads={
            "ForImageClassification": LABELS,
            "Backbone": Head("backbone", lambda c: Maps([c.embedding_size, *c.hidden_sizes]), flat=True),
        },
    )
)
