"""ZoeDepth (Bhat et al. 2023, arXiv:2302.12288): depths in metres, in bins over what DPT makes of BEiT."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.backbone_maps import BackboneMaps
from formers.configs import PretrainedConfig
from formers.configs.backbone import refuse_named
from formers.models import dpt
from formers.models.classes import backbone_of
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.spec.depth_bins import Bins, Range, Router
from formers.tasks.metric_depth import Spec

_ROUTED = 128  # width of the vector that tells the kind of a picture


class ZoeDepthConfig(PretrainedConfig):
    """Configuration of ZoeDepth."""

    model_type = "zoedepth"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "backbone_config": {
            "model_type": "beit",
            "image_size": 384,
            "num_hidden_layers": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "use_relative_position_bias": True,
            "reshape_hidden_states": False,
            "out_features": ["stage6", "stage12", "stage18", "stage24"],
        }
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {
        "readout_type": ("project",),  # the only one that the ecosystem's class computes
        "attractor_kind": ("mean", "sum"),
        "bin_centers_type": ("normed", "softplus"),
        "patch_transformer_hidden_size": (_ROUTED,),
    }
    backbone_config: Any = None
    hidden_act: str = "gelu"
    initializer_range: float = 0.02
    batch_norm_eps: float = 1e-05
    readout_type: str = "project"
    reassemble_factors: list[float] = [4, 2, 1, 0.5]
    neck_hidden_sizes: list[int] = [96, 192, 384, 768]
    fusion_hidden_size: int = 256
    head_in_index: int = -1
    use_batch_norm_in_fusion_residual: bool = False
    use_bias_in_fusion_residual: bool | None = None
    num_relative_features: int = 32
    add_projection: bool = False
    bottleneck_features: int = 256
    num_attractors: list[int] = [16, 8, 4, 1]
    bin_embedding_dim: int = 128
    attractor_alpha: int = 1000
    attractor_gamma: int = 2
    attractor_kind: str = "mean"
    min_temp: float = 0.0212
    max_temp: float = 50.0
    bin_centers_type: str = "softplus"
    bin_configurations: list[dict[str, Any]] = [{"n_bins": 64, "min_depth": 0.001, "max_depth": 10.0}]
    num_patch_transformer_layers: int | None = None
    patch_transformer_hidden_size: int | None = None
    patch_transformer_intermediate_size: int | None = None
    patch_transformer_num_attention_heads: int | None = None

    def __init__(self, **values: Any) -> None:
        refuse_named(type(self), values)
        super().__init__(**values)

    def validate(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: when a value cannot be used.
        """
        super().validate()
        if len(self.bin_configurations) not in (1, 2):
            raise ValueError(f"bin_configurations are one or two, not {len(self.bin_configurations)}")
        if len(self.bin_configurations) == 2 and self.num_patch_transformer_layers != 4:
            raise ValueError(
                f"with two bin_configurations num_patch_transformer_layers is 4, not "
                f"{self.num_patch_transformer_layers}"
            )


def bins(c: ZoeDepthConfig) -> Bins:
    """Depths in metres, of pictures of one kind or two."""
    routed = len(c.bin_configurations) > 1
    plural = "s" if routed else ""
    half = c.bin_embedding_dim // 2
    ranges = [
        Range(one["n_bins"], one["min_depth"], one["max_depth"], one.get("name", ""))
        for one in c.bin_configurations
    ]
    router = Router(
        _ROUTED,
        c.patch_transformer_intermediate_size or 4 * _ROUTED,
        c.patch_transformer_num_attention_heads or 4,
        c.num_patch_transformer_layers or 4,
    )
    return Bins(
        ranges=tuple(ranges),
        read=c.bottleneck_features,
        wide=c.fusion_hidden_size,
        seen=c.num_relative_features,
        embedding=c.bin_embedding_dim,
        inner=half if routed else 128,
        inner_seed=half if routed else 256,
        attractors=(16,) * len(c.num_attractors) if routed else tuple(c.num_attractors[:4]),
        kind="sum" if c.attractor_kind == "sum" else "mean",
        bounded=c.bin_centers_type == "normed",
        temperatures=(c.min_temp, c.max_temp),
        shrink=4 if routed else 2,
        router=router if routed else None,
        names={
            "seeds": f"seed_bin_regressor{plural}",
            "attractors": "attractors",
            "shares": "conditional_log_binomial",
        },
    )


def depths(c: ZoeDepthConfig) -> Spec:
    """What reads the maps."""
    relative = (c.fusion_hidden_size, c.num_relative_features, c.head_in_index, c.add_projection)
    return Spec(
        neck=("neck", dpt.whole_neck(c, c.batch_norm_eps, beside=True)),
        relative=("relative_head", relative),
        metric=("metric_head", bins(c)),
        patch=spec.pair(c.backbone_config.patch_size),
    )


ZOEDEPTH = register(
    Family(
        model_type="zoedepth",
        name="ZoeDepth",
        config=ZoeDepthConfig,
        base="zoedepth",
        bare="",
        assembly=BackboneMaps(backbone_of),
        heads={"ForDepthEstimation": Head("metric_depth", depths, flat=True)},
    )
)
