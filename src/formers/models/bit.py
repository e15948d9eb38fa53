"""BiT (Kolesnikov et al. 2019, arXiv:1912.11370): ResNet v2 with group norms and standardised weights."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import BackboneConfig
from formers.models import resnet
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.backbone import Spec as Maps


class BitConfig(BackboneConfig):
    """Configuration of BiT."""

    model_type = "bit"
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {
        "layer_type": ("preactivation", "bottleneck"),
        "global_padding": (None, "SAME"),  # without padding blocks would not fit what they are added to
    }
    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: list[int] = [256, 512, 1024, 2048]
    depths: list[int] = [3, 4, 6, 3]
    layer_type: str = "preactivation"
    hidden_act: str = "relu"
    global_padding: str | None = None
    num_groups: int = 32
    drop_path_rate: float = 0.0
    embedding_dynamic_padding: bool = False
    output_stride: int = 32
    width_factor: int = 1

    def __init__(self, **values: Any) -> None:
        padding = values.get("global_padding")
        if isinstance(padding, str):
            values["global_padding"] = padding.upper()
        super().__init__(**values)
        if len(self.hidden_sizes) < len(self.depths):
            raise ValueError(
                f"each of {len(self.depths)} stages (depths) has a width of its own: hidden_sizes has "
                f"{len(self.hidden_sizes)}"
            )


def widths(c: BitConfig) -> list[int]:
    """Channels of what the stages make."""
    return [
        nets.rounded(size * c.width_factor, 8, 8) for size, _ in zip(c.hidden_sizes, c.depths, strict=False)
    ]


def conv(
    c: BitConfig, read: int, made: int, kernel: int = 1, stride: int = 1, dilation: int = 1
) -> nets.Conv:
    """A convolution with standardised weights."""
    same = c.global_padding == "SAME"
    return nets.Conv(read, made, kernel, stride, 1, dilation, same=same, spread=True, standard=1e-8)


def norm(c: BitConfig, width: int, acts: bool = True) -> nets.GroupNorm:
    """A group norm, and an activation within it."""
    return nets.GroupNorm(width, groups=c.num_groups, act=nets.Act(c.hidden_act if acts else None))


def shortcut(c: BitConfig, read: int, made: int, stride: int) -> nets.Node:
    """What the first block of a stage adds."""
    after = nets.Act() if c.layer_type == "preactivation" else norm(c, made, acts=False)
    return nets.Node({"conv": conv(c, read, made, 1, stride), "norm": after})


def block(
    c: BitConfig, widths: tuple[int, int], step: tuple[int, int], rate: float, first: bool
) -> nets.Node:
    """Three convolutions of which the middle one is narrow, norms before them or behind them.

    Args:
        c: the config.
        widths: channels of what it reads and makes.
        step: stride and dilation of the middle one.
        rate: how often it is left out.
        first: it is the first of its stage.
    """
    (read, made), early = widths, c.layer_type == "preactivation"
    narrow = nets.rounded(made / 4, 8, 8)
    spread = 1 if early else step[1]  # the ecosystem spreads no kernels behind norms
    convs = [conv(c, read, narrow), conv(c, narrow, narrow, 3, step[0], spread), conv(c, narrow, made)]
    normed = (read, narrow, narrow) if early else (narrow, narrow, made)
    norms = [norm(c, width, early or number < 2) for number, width in enumerate(normed)]
    pairs = [{f"norm{i}": b, f"conv{i}": a} for i, (a, b) in enumerate(zip(convs, norms, strict=True), 1)]
    own = {name: pair[name] for pair in pairs for name in (pair if early else reversed(pair))}
    own["drop_path"] = nets.Drop(rate, paths=True)
    aside: dict[str, Any] = {"downsample": shortcut(c, read, made, step[0])} if first else {}
    total: nets.Run = nets.Plus("downsample") if first else nets.SUM
    if early:
        run = ("norm1", nets.BEGIN, *list(own)[1:], total) if first else (nets.BEGIN, *own, total)
        return nets.Node({**aside, **own}, run)
    act = {"activation": nets.Act(c.hidden_act)}
    return nets.Node({**aside, **own, **act}, (nets.BEGIN, *own, total, *act))


def encoder(c: BitConfig) -> nets.Node:
    """Stages; past `output_stride` kernels reach farther, and maps become no smaller."""
    steps = nets.strides(len(c.depths), 4, c.output_stride)
    rates = nets.rates(c.drop_path_rate, c.depths)

    def one(read: int, made: int, stage: int, number: int) -> nets.Node:
        stride, spread = steps[stage]
        step = (1, spread) if number else (stride, 1 if spread <= 2 else 2)
        return block(c, (read, made), step, rates[stage][number], not number)

    return resnet.staged(nets.stages(c.embedding_size, widths(c), c.depths, one))


def net(c: BitConfig) -> nets.Net:
    """A wide first convolution, and stages."""
    early = c.layer_type == "preactivation"
    made, edge = widths(c), 0 if c.global_padding == "SAME" else 1
    embedder = {
        "convolution": conv(c, c.num_channels, c.embedding_size, 7, 2),
        "pooler": nets.Pool("largest", 3, 2, zeros=c.embedding_dynamic_padding),
        "pad": nets.Pad((edge,) * 4) if edge else nets.Act(),
        "norm": nets.Act() if early else norm(c, c.embedding_size),
    }
    return nets.Net(
        {
            "embedder": nets.Node(embedder, ("convolution", "pad", "norm", "pooler"), "BitEmbeddings"),
            "encoder": encoder(c),
            "norm": norm(c, made[-1]) if early else nets.Act(),
            "pooler": nets.Pool(),
        },
        ("embedder", "encoder"),
        channels=c.num_channels,
        widths=(c.embedding_size, *made),
        closing=("norm",),
        pool=("pooler",),
        layer_classes=("BitEmbeddings",),
    )


BIT = register(
    Family(
        model_type="bit",
        name="Bit",
        config=BitConfig,
        base="bit",
        assembly=FeatureMaps(net),
        heads={
            "ForImageClassification": resnet.LABELS,
            "Backbone": Head("backbone", lambda c: Maps([c.embedding_size, *widths(c)]), pooler=True),
        },
    )
)
