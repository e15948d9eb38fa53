"""MobileViT (Mehta and Rastegari 2021, arXiv:2110.02178): convolutions, and attention between patches."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.mobilenet_v2 import LABELS, inverted
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense


class MobileViTConfig(PretrainedConfig):
    """Configuration of MobileViT."""

    model_type = "mobilevit"
    num_channels: int = 3
    image_size: int | list[int] = 256
    patch_size: int | list[int] = 2
    hidden_sizes: list[int] = [144, 192, 240]
    neck_hidden_sizes: list[int] = [16, 32, 64, 96, 128, 160, 640]
    num_attention_heads: int = 4
    mlp_ratio: float = 2.0
    expand_ratio: float = 4.0
    hidden_act: str = "silu"
    conv_kernel_size: int = 3
    output_stride: int = 32
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    qkv_bias: bool = True
    aspp_out_channels: int = 256
    atrous_rates: list[int] = [6, 12, 18]
    aspp_dropout_prob: float = 0.1
    semantic_loss_ignore_index: int = 255

    def rounded(self, channels: float) -> int:
        """So many channels, in eights."""
        return nets.rounded(channels, 8, 8)


def conv(c: Any, read: int, made: int, kernel: int = 1, act: str | None = None, **more: Any) -> nets.Node:
    """A convolution, a batch norm, an activation."""
    parts: dict[str, Any] = {
        "convolution": nets.Conv(read, made, kernel, **more),
        "normalization": nets.BatchNorm(made),
    }
    return nets.Node({**parts, "activation": nets.Act(act)} if act else parts)


def plain(read: int, made: int, bias: bool = False) -> nets.Node:
    """A convolution of every place, alone."""
    return nets.Node({"convolution": nets.Conv(read, made, bias=bias)})


def _row(c: MobileViTConfig, wide: int) -> nets.Node:
    """A layer over rows: attention and a feed-forward, norms before them."""
    inner = int(wide * c.mlp_ratio)
    attention = {
        **{name: nets.Dense(wide, wide, c.qkv_bias) for name in ("query", "key", "value")},
        "dropout": nets.Drop(c.attention_probs_dropout_prob),
    }
    mixed = {"dense": nets.Dense(wide, wide), "dropout": nets.Drop(c.hidden_dropout_prob)}
    parts = {
        "attention": nets.Node(
            {
                "attention": nets.Node(attention, (multi_scale.Attends(c.num_attention_heads),)),
                "output": nets.Node(mixed),
            }
        ),
        "intermediate": nets.Node(
            {"dense": nets.Dense(wide, inner), "intermediate_act_fn": nets.Act(c.hidden_act)}
        ),
        "output": nets.Node(
            {**mixed, "dense": nets.Dense(inner, wide)}, (nets.SWAP, "dense", "dropout", nets.SUM)
        ),
        "layernorm_before": nets.ChannelNorm(wide, c.layer_norm_eps, rows=True),
        "layernorm_after": nets.ChannelNorm(wide, c.layer_norm_eps, rows=True),
    }
    first = (nets.BEGIN, "layernorm_before", "attention", nets.SUM)
    last = (nets.BEGIN, "layernorm_after", "intermediate", nets.Within("output", near=True))
    return nets.Node(parts, (*first, *last))


def _layer(c: MobileViTConfig, stage: int, dilation: int, smaller: bool) -> nets.Node:
    """Convolutions, then rows of places that lie alike in their patches."""
    read, made, wide = *c.neck_hidden_sizes[stage + 2 : stage + 4], c.hidden_sizes[stage]
    down = inverted(c, read, made, 2 if smaller else 1, 1 if smaller else dilation // 2, conv)
    kernel, act = c.conv_kernel_size, c.hidden_act
    parts = {
        "downsampling_layer": down,
        "conv_kxk": conv(c, made, made, kernel, act),
        "conv_1x1": plain(made, wide),
        "transformer": nets.Node({"layer": nets.row(*(_row(c, wide),) * (2, 4, 3)[stage])}),
        "layernorm": nets.ChannelNorm(wide, c.layer_norm_eps, rows=True),
        "conv_projection": conv(c, wide, made, 1, act),
        "fusion": conv(c, 2 * made, made, kernel, act),
    }
    rows = multi_scale.ByPatches(spec.pair(c.patch_size), ("transformer", "layernorm"))
    run = ("downsampling_layer", nets.BEGIN, "conv_kxk", "conv_1x1", rows, "conv_projection")
    return nets.Node(parts, (*run, nets.BESIDE, "fusion"), "MobileViTLayer")


def net(c: MobileViTConfig) -> nets.Net:
    """A stem, two stages of convolutions, three with attention; `output_stride` bounds how maps shrink."""
    widths, late = c.neck_hidden_sizes, {8: 2, 16: 1}.get(c.output_stride, 0)
    stages = [
        nets.Node({"layer": nets.row(inverted(c, widths[0], widths[1], 1, 1, conv))}),
        nets.Node(
            {
                "layer": nets.row(
                    *(inverted(c, widths[2 if i else 1], widths[2], 1 if i else 2, 1, conv) for i in range(3))
                )
            }
        ),
    ]
    wider = [max(stage - 2 + late, 0) for stage in range(3)]
    stages += [_layer(c, stage, 2**wide, not wide) for stage, wide in enumerate(wider)]
    return nets.Net(
        {
            "conv_stem": conv(c, c.num_channels, widths[0], 3, c.hidden_act, stride=2),
            "encoder": nets.Node({"layer": nets.row(*stages, keep=True)}, record=True),
            "conv_1x1_exp": conv(c, widths[5], widths[6], 1, c.hidden_act),
        },
        ("conv_stem", "encoder"),
        channels=c.num_channels,
        widths=tuple(widths[1:6]),
        last=widths[6],
        closing=("conv_1x1_exp",),
        pool=(nets.MEAN,),
        std=c.initializer_range,
        layer_classes=("MobileViTLayer",),
    )


def pixels(c: MobileViTConfig) -> Dense:
    """Labels of pixels, from the last map at several reaches (arXiv:1706.05587)."""
    read, wide = c.neck_hidden_sizes[-2], c.aspp_out_channels
    mean = {"global_pool": nets.Pool(), "conv_1x1": conv(c, read, wide, 1, "relu")}
    reaches = (conv(c, read, wide, 3, "relu", dilation=rate) for rate in c.atrous_rates)
    convs = nets.row(
        conv(c, read, wide, 1, "relu"), *reaches, nets.Node(mean, (nets.BEGIN, *mean, multi_scale.Grown()))
    )
    runs = tuple((name,) for name in multi_scale.numbered("convs", len(convs.parts)))
    project = conv(c, len(convs.parts) * wide, wide, 1, "relu")
    aspp = {"convs": convs, "project": project, "dropout": nets.Drop(c.aspp_dropout_prob)}
    parts = {
        "aspp": nets.Node(aspp, (multi_scale.Branches(runs), nets.TOGETHER, "project", "dropout")),
        "dropout": nets.Drop(c.classifier_dropout_prob, channels=True),
        "classifier": plain(wide, c.num_labels, True),
    }
    head = nets.Node(parts, (multi_scale.Pick(-1), *parts))
    return Dense({"segmentation_head": head}, ignore=c.semantic_loss_ignore_index)


MOBILEVIT = register(
    Family(
        model_type="mobilevit",
        name="MobileViT",
        config=MobileViTConfig,
        base="mobilevit",
        assembly=FeatureMaps(net),
        heads={
            "ForImageClassification": LABELS,
            "ForSemanticSegmentation": Head("semantic_segmentation", pixels, pooler=False),
        },
    )
)
