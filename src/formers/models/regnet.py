"""RegNet (Radosavovic et al. 2020, arXiv:2003.13678): residual blocks of grouped convolutions."""

from __future__ import annotations

from formers.assemblies.family import Family
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models import resnet
from formers.models.registry import register
from formers.nn.spec import nets


class RegNetConfig(PretrainedConfig):
    """Configuration of RegNet."""

    model_type = "regnet"
    _available = {"layer_type": ("x", "y")}
    num_channels: int = 3
    embedding_size: int = 32
    hidden_sizes: list[int] = [128, 192, 512, 1088]
    depths: list[int] = [2, 6, 12, 2]
    groups_width: int = 64
    layer_type: str = "y"
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = True


def weighed(wide: int, narrow: int) -> nets.Node:
    """Channels, weighed by what all of them hold on average (Hu et al. 2017, arXiv:1709.01507)."""
    weights = nets.row(
        nets.Conv(wide, narrow, bias=True, spread=True),
        nets.Act("relu"),
        nets.Conv(narrow, wide, bias=True, spread=True),
        nets.Act("sigmoid"),
    )
    parts = {"pooler": nets.Pool(), "attention": weights}
    return nets.Node(parts, (nets.BEGIN, "pooler", "attention", nets.TIMES), "RegNetSELayer")


def block(c: RegNetConfig, read: int, made: int, stride: int, first: bool) -> nets.Node:
    """Three convolutions, the middle one in groups; Y blocks weigh their channels."""
    act, kind = c.hidden_act, "RegNet"
    layer = nets.row(
        resnet.conv(read, made, 1, 1, act, kind),
        resnet.conv(made, made, 3, stride, act, kind, max(1, made // c.groups_width)),
        *([weighed(made, round(read / 4))] if c.layer_type == "y" else []),
        resnet.conv(made, made, 1, family=kind),
    )
    return resnet.residual(layer, read, made, stride, act, f"RegNet{c.layer_type.upper()}Layer", kind)


def net(c: RegNetConfig) -> nets.Net:
    """A first convolution, and stages."""
    first = {"embedder": resnet.conv(c.num_channels, c.embedding_size, 3, 2, c.hidden_act, "RegNet")}
    encoder = resnet.encoder(c, block, "RegNetStage")
    return nets.Net(
        {"embedder": nets.Node(first), "encoder": encoder, "pooler": nets.Pool()},
        ("embedder", "encoder"),
        channels=c.num_channels,
        widths=(c.embedding_size, *c.hidden_sizes),
        pool=("pooler",),
        layer_classes=("RegNetYLayer",),
    )


REGNET = register(
    Family(
        model_type="regnet",
        name="RegNet",
        config=RegNetConfig,
        base="regnet",
        assembly=FeatureMaps(net),
        heads={"ForImageClassification": resnet.LABELS},
    )
)
