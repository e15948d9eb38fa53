"""Depth Anything (Yang et al. 2024, arXiv:2401.10891): depths from maps of DINOv2, fused as in DPT."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.backbone_maps import BackboneMaps
from formers.configs import PretrainedConfig
from formers.configs.backbone import refuse_named
from formers.models.classes import backbone_of
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.spec import fusion, multi_scale, nets
from formers.tasks.dense_prediction import Spec as Dense


class DepthAnythingConfig(PretrainedConfig):
    """Configuration of Depth Anything."""

    model_type = "depth_anything"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {
            "model_type": "dinov2",
            "image_size": 518,
            "hidden_size": 384,
            "num_attention_heads": 6,
            "out_indices": [9, 10, 11, 12],
            "reshape_hidden_states": False,
        }
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"depth_estimation_type": ("relative", "metric")}
    backbone_config: Any = None
    patch_size: int | list[int] = 14
    initializer_range: float = 0.02
    reassemble_hidden_size: int = 384
    reassemble_factors: list[float] = [4, 2, 1, 0.5]
    neck_hidden_sizes: list[int] = [48, 96, 192, 384]
    fusion_hidden_size: int = 64
    head_in_index: int = -1
    head_hidden_size: int = 32
    depth_estimation_type: str = "relative"
    max_depth: int | None = 1

    def __init__(self, **values: Any) -> None:
        refuse_named(type(self), values)
        super().__init__(**values)


def depths(c: DepthAnythingConfig) -> Dense:
    """Depths, as large as the patches are together."""
    widths, wide, inner = c.neck_hidden_sizes, c.fusion_hidden_size, c.head_hidden_size
    each = multi_scale.Each(multi_scale.numbered("layers", len(widths)))
    layers = fusion.reassembled(c.reassemble_hidden_size, widths, c.reassemble_factors)
    stage = nets.Node({"layers": layers}, (multi_scale.Placed(), each))
    neck = fusion.neck(widths, wide, stage, fusion.fused(wide, len(widths), fusion.residual(wide), told=True))
    down, across = patch = spec.pair(c.patch_size)
    parts = {
        "conv1": nets.Conv(wide, wide // 2, 3, bias=True),
        "conv2": nets.Conv(wide // 2, inner, 3, bias=True),
        "activation1": nets.Act("relu"),
        "conv3": nets.Conv(inner, 1, bias=True),
        "activation2": nets.Act("relu" if c.depth_estimation_type == "relative" else "sigmoid"),
    }
    larger = multi_scale.Enlarged(down, corners=True, told=True)
    first, *rest = parts
    scaled = multi_scale.Times(c.max_depth or 1)
    run: tuple[Any, ...] = (multi_scale.Pick(c.head_in_index), first, larger, *rest, scaled, nets.SINGLE)
    return Dense({"neck": neck, "head": nets.Node(parts, run)}, patch=patch, trained=False)


DEPTH_ANYTHING = register(
    Family(
        model_type="depth_anything",
        name="DepthAnything",
        config=DepthAnythingConfig,
        base="depth_anything",
        bare="",
        assembly=BackboneMaps(backbone_of),
        heads={"ForDepthEstimation": Head("depth_estimation", depths, flat=True)},
    )
)
