"""EfficientNet (Tan and Le 2019, arXiv:1905.11946): blocks that widen, weigh channels, and narrow again."""

from __future__ import annotations

from math import ceil

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec import nets
from formers.tasks.specs import Sequences


class EfficientNetConfig(PretrainedConfig):
    """Configuration of EfficientNet."""

    model_type = "efficientnet"
    _available = {"pooling_type": ("mean", "max")}
    num_channels: int = 3
    image_size: int = 600
    width_coefficient: float = 2.0
    depth_coefficient: float = 3.1
    depth_divisor: int = 8
    kernel_sizes: list[int] = [3, 3, 5, 3, 5, 5, 3]
    in_channels: list[int] = [32, 16, 24, 40, 80, 112, 192]
    out_channels: list[int] = [16, 24, 40, 80, 112, 192, 320]
    depthwise_padding: list[int] = []
    strides: list[int] = [1, 2, 2, 2, 1, 2, 1]
    num_block_repeats: list[int] = [1, 2, 2, 3, 3, 4, 1]
    expand_ratios: list[int] = [1, 6, 6, 6, 6, 6, 6]
    squeeze_expansion_ratio: float = 0.25
    hidden_act: str = "swish"
    hidden_dim: int = 2560
    pooling_type: str = "mean"
    initializer_range: float = 0.02
    batch_norm_eps: float = 0.001
    batch_norm_momentum: float = 0.99
    dropout_rate: float = 0.5
    drop_connect_rate: float = 0.2

    def validate(self) -> None:
        """Check that the last convolution makes what the last norm reads.

        Raises:
            ValueError: when it does not.
        """
        super().validate()
        if (made := self.rounded(1280)) != self.hidden_dim:
            raise ValueError(
                f"hidden_dim={self.hidden_dim}, but width_coefficient and depth_divisor make {made} channels"
            )

    def rounded(self, channels: int) -> int:
        """So many channels times the coefficient, as a multiple of the divisor."""
        return nets.rounded(channels * self.width_coefficient, self.depth_divisor, self.depth_divisor)


def block(c: EfficientNetConfig, stage: int, number: int, before: int, count: int) -> nets.Node:
    """One of the blocks of a stage; `before` stand before it, of `count`."""
    first, ratio, kernel = not number, c.expand_ratios[stage], c.kernel_sizes[stage]
    made = c.rounded(c.out_channels[stage])
    read = c.rounded(c.in_channels[stage]) if first else made
    stride, wide, half = c.strides[stage] if first else 1, read * ratio, kernel // 2
    norm, act = (c.batch_norm_eps, c.batch_norm_momentum), nets.Act(c.hidden_act)
    lead = half if before in c.depthwise_padding else half - 1
    narrow = max(1, int(read * c.squeeze_expansion_ratio))
    expansion = {
        "expand_conv": nets.Conv(read, wide),
        "expand_bn": nets.BatchNorm(wide, c.batch_norm_eps),
        "expand_act": act,
    }
    depthwise = {
        "depthwise_conv_pad": nets.Pad((lead, half, lead, half)),
        "depthwise_conv": nets.Conv(wide, wide, kernel, stride, wide, padding=0 if stride == 2 else None),
        "depthwise_norm": nets.BatchNorm(wide, *norm),
        "depthwise_act": act,
    }
    squeeze = {
        "squeeze": nets.Pool(),
        "reduce": nets.Conv(wide, narrow, bias=True),
        "expand": nets.Conv(narrow, wide, bias=True),
        "act_reduce": act,
        "act_expand": nets.Act("sigmoid"),
    }
    weigh = (nets.BEGIN, "squeeze", "reduce", "act_reduce", "expand", "act_expand", nets.TIMES)
    project = {
        "project_conv": nets.Conv(wide, made),
        "project_bn": nets.BatchNorm(made, *norm),
        "dropout": nets.Drop(c.drop_connect_rate * before / count),
    }
    adds: tuple[nets.Run, ...] = ("dropout", nets.SUM) if stride == 1 and not first else ()
    parts = {
        **({"expansion": nets.Node(expansion)} if ratio != 1 else {}),
        "depthwise_conv": nets.Node(depthwise, tuple(depthwise)[0 if stride == 2 else 1 :]),
        "squeeze_excite": nets.Node(squeeze, weigh),
        "projection": nets.Node(project, ("project_conv", "project_bn", *adds)),
    }
    run: tuple[nets.Run, ...] = (nets.BEGIN, *list(parts)[:-1], nets.Within("projection"))
    return nets.Node(parts, run, "EfficientNetBlock")


def net(c: EfficientNetConfig) -> nets.Net:
    """A first convolution, blocks, and a last convolution of every place."""
    depths = [ceil(c.depth_coefficient * repeats) for repeats in c.num_block_repeats]
    each = [(stage, j, sum(depths[:stage]) + j) for stage, depth in enumerate(depths) for j in range(depth)]
    blocks = [block(c, stage, j, before, len(each)) for stage, j, before in each]
    wide, last, act = c.rounded(32), c.rounded(1280), nets.Act(c.hidden_act)
    embeddings = {
        "padding": nets.Pad((0, 1, 0, 1)),
        "convolution": nets.Conv(c.num_channels, wide, 3, 2, padding=0),
        "batchnorm": nets.BatchNorm(wide, c.batch_norm_eps, c.batch_norm_momentum),
        "activation": act,
    }
    encoder = {
        "blocks": nets.row(*blocks, keep=True),
        "top_conv": nets.Conv(c.rounded(c.out_channels[-1]), last),
        "top_bn": nets.BatchNorm(c.hidden_dim, c.batch_norm_eps, c.batch_norm_momentum),
        "top_activation": act,
    }
    return nets.Net(
        {
            "embeddings": nets.Node(embeddings),
            "encoder": nets.Node(encoder, (nets.KEEP, *encoder), record=True),
            "pooler": nets.Pool("mean" if c.pooling_type == "mean" else "largest"),
        },
        ("embeddings", "encoder"),
        channels=c.num_channels,
        widths=(c.hidden_dim,),
        pool=("pooler", nets.FLAT),
        std=c.initializer_range,
        layer_classes=("EfficientNetBlock",),
    )


LABELS = Head(
    "image_classification",
    lambda c: Sequences("classifier", dropout=c.dropout_rate, dropout_path="dropout"),
    pooler=True,
)
EFFICIENTNET = register(
    Family(
        model_type="efficientnet",
        name="EfficientNet",
        config=EfficientNetConfig,
        base="efficientnet",
        assembly=FeatureMaps(net),
        heads={"ForImageClassification": LABELS},
    )
)
