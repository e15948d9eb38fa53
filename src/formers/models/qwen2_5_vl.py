"""Qwen2.5-VL (Bai et al. 2025, arXiv:2502.13923): Qwen2-VL with windows, and films in their own time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.dynamic_resolution import Grids
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import qwen2_vl
from formers.models.registry import register
from formers.nn import spec
from formers.nn.multimodal_positions import Shown


class Qwen2_5_VLVisionConfig(PretrainedConfig):  # noqa: N801  (the ecosystem's name)
    """Configuration of Qwen2.5-VL's model of patches."""

    model_type = "qwen2_5_vl_vision"
    base_config_key = "vision_config"
    attribute_map: ClassVar[dict[str, str]] = qwen2_vl.Qwen2VLVisionConfig.attribute_map
    depth: int = 32
    hidden_size: int = 3584
    hidden_act: str = "silu"
    intermediate_size: int = 3420
    num_heads: int = 16
    in_channels: int = 3
    patch_size: int | list[int] = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int | list[int] = 2
    tokens_per_second: int = 4
    window_size: int = 112
    out_hidden_size: int = 3584
    fullatt_block_indexes: list[int] | tuple[int, ...] = (7, 15, 23, 31)
    initializer_range: float = 0.02


class Qwen2_5_VLTextConfig(qwen2_vl.Qwen2VLTextConfig):  # noqa: N801  (likewise)
    """Configuration of Qwen2.5-VL's text model."""

    model_type = "qwen2_5_vl_text"


class Qwen2_5_VLConfig(qwen2_vl.Qwen2VLConfig):  # noqa: N801  (likewise)
    """Configuration of Qwen2.5-VL."""

    model_type = "qwen2_5_vl"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Qwen2_5_VLTextConfig,
        "vision_config": Qwen2_5_VLVisionConfig,
    }


NAMES = qwen2_vl.IMAGE_NAMES.with_(
    layer={"gate": "mlp.gate_proj", "act": "mlp.act_fn", "up": "mlp.up_proj", "down": "mlp.down_proj"}
)


def image(c: Qwen2_5_VLVisionConfig) -> spec.Stack:
    """The model of patches, most of whose layers attend within windows."""
    inner = spec.FeedForward(c.intermediate_size, c.hidden_act, gated=True)
    norm = spec.Norm("rms", 1e-6)
    whole = set(c.fullatt_block_indexes)
    within = tuple("frames" if i in whole else "windows" for i in range(c.depth))
    made = qwen2_vl.over_patches(
        c, c.hidden_size, inner, norm, c.out_hidden_size, within, "Qwen2_5_VLVisionBlock"
    )
    edge = c.window_size // c.spatial_merge_size // spec.pair(c.patch_size)[0]
    return replace(made, stem=qwen2_vl.patches(c, c.hidden_size, window=edge), names=NAMES)


def films(c: Qwen2_5_VLConfig, grids: Grids, given: Mapping[str, Any]) -> list[Shown]:
    """A film's frames stand as far apart as its seconds say, one apart where nothing is said."""
    told = given.get("second_per_grid_ts")
    seconds = [1.0] * len(grids) if told is None else [float(one) for one in told]
    if len(seconds) != len(grids):
        raise ValueError(f"second_per_grid_ts are {len(seconds)} numbers, but there are {len(grids)} films")
    each = zip(grids, seconds, strict=True)
    rate = c.vision_config.tokens_per_second
    return [qwen2_vl.stands(c, [grid], given, rate * one)[0] for grid, one in each]


TEXT = register(
    qwen2_vl.part(
        "qwen2_5_vl_text",
        "Qwen2_5_VLText",
        Qwen2_5_VLTextConfig,
        Single(qwen2_vl.text_of("Qwen2_5_VLDecoderLayer")),
    )
)
IMAGE = register(
    qwen2_vl.part(
        "qwen2_5_vl_vision",
        "Qwen2_5_VisionTransformerPretrained",
        Qwen2_5_VLVisionConfig,
        Single(image, spec.GridPatches, reads=qwen2_vl.READS),
    )
)
KINDS = (qwen2_vl.PICTURES, replace(qwen2_vl.FILMS, stands=films))
QWEN2_5_VL = register(
    qwen2_vl.whole("qwen2_5_vl", "Qwen2_5_VL", Qwen2_5_VLConfig, KINDS, more=("second_per_grid_ts",))
)
