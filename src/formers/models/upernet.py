"""UPerNet (Xiao et al. 2018, arXiv:1807.10221): maps of a backbone, from the last to the first, and pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.backbone_maps import BackboneMaps
from formers.configs import PretrainedConfig
from formers.configs.backbone import refuse_named
from formers.models.classes import backbone_of, map_widths
from formers.models.registry import config_class, register
from formers.nn.spec import multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense

Conv = Callable[[int, int, int], nets.Node]  # of what it reads, of what it makes, reach
Pools = Callable[[Any, Conv, int, int], nets.Node]


class UperNetConfig(PretrainedConfig):
    """Configuration of UPerNet."""

    model_type = "upernet"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {
            "model_type": "resnet",
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        }
    }
    backbone_config: Any = None
    hidden_size: int = 512
    initializer_range: float = 0.02
    pool_scales: list[int] = [1, 2, 3, 6]
    use_auxiliary_head: bool = True
    auxiliary_loss_weight: float = 0.4
    auxiliary_in_channels: int | None = None
    auxiliary_channels: int = 256
    auxiliary_num_convs: int = 1
    auxiliary_concat_input: bool = False
    loss_ignore_index: int = 255

    def __init__(self, **values: Any) -> None:
        refuse_named(type(self), values)
        super().__init__(**values)


def named(norm: str, conv_name: str = "conv") -> Conv:
    """A convolution, a batch norm of that name, an activation."""

    def conv(read: int, made: int, kernel: int = 1) -> nets.Node:
        parts = {conv_name: nets.Conv(read, made, kernel), norm: nets.BatchNorm(made)}
        return nets.Node({**parts, "activation": nets.Act("relu")})

    return conv


def pools(c: Any, conv: Conv, read: int, wide: int) -> nets.Node:
    """Pools of a map, as large as it is."""
    found = nets.row(*(nets.row(nets.Pool(to=scale), conv(read, wide, 1)) for scale in c.pool_scales))
    return nets.Node(found.parts, (multi_scale.Branches(tuple((name,) for name in found.parts)),))


def decoder(
    c: Any, conv: Conv, widths: Sequence[int], wide: int, pools: Pools = pools, beneath: str = "bottleneck"
) -> nets.Node:
    """Pools of the last map beside it; from there on up every map is added to; all are mixed at the end.

    `beneath` is the name of what makes one map of that map and its pools.
    """
    count, last = len(widths) - 1, widths[-1]
    parts = {
        "classifier": nets.Conv(wide, c.num_labels, bias=True),
        "psp_modules": pools(c, conv, last, wide),
        beneath: conv(last + len(c.pool_scales) * wide, wide, 3),
        "lateral_convs": nets.row(*(conv(read, wide, 1) for read in widths[:-1])),
        "fpn_convs": nets.row(*(conv(wide, wide, 3) for _ in widths[:-1])),
        "fpn_bottleneck": conv(len(widths) * wide, wide, 3),
    }
    pooled = (nets.BEGIN, "psp_modules", nets.BESIDE, beneath)
    laterals = multi_scale.Each(multi_scale.numbered("lateral_convs", count), pooled)
    run = (laterals, nets.DOWN, multi_scale.Each(multi_scale.numbered("fpn_convs", count)), nets.ALIKE)
    return nets.Node(parts, (*run, nets.TOGETHER, "fpn_bottleneck", "classifier"))


def beside(c: Any, conv: Conv, widths: Sequence[int]) -> nets.Node:
    """Convolutions of the third map alone."""
    read, wide, count = widths[2], c.auxiliary_channels, c.auxiliary_num_convs
    convs = [conv(wide if i else read, wide, 3) for i in range(count)]
    parts: dict[str, Any] = {"convs": nets.row(*convs) if count else nets.Act()}
    run: tuple[Any, ...] = (multi_scale.Pick(2), nets.BEGIN, "convs")
    if c.auxiliary_concat_input:
        parts["conv_cat"] = conv(read + wide, wide, 3)
        run = (*run, nets.BESIDE, "conv_cat")
    parts["classifier"] = nets.Conv(wide, c.num_labels, bias=True)
    return nets.Node(parts, (*run, "classifier"))


def labels(c: UperNetConfig) -> Dense:
    """Labels of pixels, and again, of the third map alone, in training."""
    conv, widths = named("batch_norm"), map_widths(c.backbone_config)
    parts = {"decode_head": decoder(c, conv, widths, c.hidden_size)}
    read = [c.auxiliary_in_channels or wide for wide in widths]
    aside = {"auxiliary_head": beside(c, conv, read)} if c.use_auxiliary_head else {}
    more: dict[str, Any] = {"whole": True, "ignore": c.loss_ignore_index, "share": c.auxiliary_loss_weight}
    return Dense({**parts, **aside}, tuple(parts), tuple(aside), **more)


UPERNET = register(
    Family(
        model_type="upernet",
        name="UperNet",
        config=UperNetConfig,
        base="",
        bare="",
        assembly=BackboneMaps(backbone_of),
        heads={"ForSemanticSegmentation": Head("semantic_segmentation", labels, flat=True)},
    )
)
