"""SAM 2's network (Ravi et al. 2024, arXiv:2408.00714): Hiera, and maps of one width of its stages."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.vision.promptable_pyramids import PooledGrids, Pyramids
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn.spec.grid_layers import Feed
from formers.nn.spec.pooled_grids import PooledGrid, PooledLayer, Pyramid

_STAGES = (
    "blocks_per_stage",
    "embed_dim_per_stage",
    "num_attention_heads_per_stage",
    "window_size_per_stage",
)


class Sam2HieraDetConfig(PretrainedConfig):
    """Configuration of the layers over a grid that grows coarser.

    Raises:
        ValueError: for stages of another number than `blocks_per_stage` has.
    """

    model_type = "sam2_hiera_det_model"
    base_config_key = "backbone_config"
    hidden_size: int = 96
    num_attention_heads: int = 1
    num_channels: int = 3
    image_size: int | list[int] = [1024, 1024]
    patch_kernel_size: int | list[int] = [7, 7]
    patch_stride: int | list[int] = [4, 4]
    patch_padding: int | list[int] = [3, 3]
    query_stride: int | list[int] = [2, 2]
    window_positional_embedding_background_size: list[int] = [7, 7]
    num_query_pool_stages: int = 3
    blocks_per_stage: list[int] = [1, 2, 7, 2]
    embed_dim_per_stage: list[int] = [96, 192, 384, 768]
    num_attention_heads_per_stage: list[int] = [1, 2, 4, 8]
    window_size_per_stage: list[int] = [8, 4, 14, 7]
    global_attention_blocks: list[int] = [5, 7, 9]
    mlp_ratio: float = 4.0
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        counts = {name: len(getattr(self, name)) for name in _STAGES}
        if len({*counts.values()}) > 1:
            raise ValueError(f"every stage has one of {', '.join(_STAGES)}, but there are {counts}")


class Sam2VisionConfig(PretrainedConfig):
    """Configuration of the layers, and of the maps of their stages."""

    model_type = "sam2_vision_model"
    base_config_key = "vision_config"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": Sam2HieraDetConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"backbone_config": {}}
    backbone_channel_list: list[int] = [768, 384, 192, 96]
    backbone_feature_sizes: list[Any] = [[256, 256], [128, 128], [64, 64]]
    fpn_hidden_size: int = 256
    fpn_kernel_size: int = 1
    fpn_stride: int = 1
    fpn_padding: int = 0
    fpn_top_down_levels: list[int] = [2, 3]
    num_feature_levels: int = 3
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02


LAYER = {
    "attention_norm": "layer_norm1",
    "attention": "attn",
    "qkv": "qkv",
    "o": "proj",
    "feedforward_norm": "layer_norm2",
    "feedforward": "mlp",
    "widen": "proj",
}
NET = {
    "patch": "patch_embed.projection",
    "position": "pos_embed",
    "window": "pos_embed_window",
    "layers": "blocks",
}
NECK = {"grid": "backbone", "neck": "neck", "convs": "convs", "places": "position_encoding"}


def pair(value: int | list[int]) -> tuple[int, int]:
    """Down and across."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def layer(c: Sam2HieraDetConfig, stage: int, block: int) -> PooledLayer:
    """One of a stage; the first reads what the stage before made, in its windows."""
    before = stage if block else max(stage - 1, 0)
    width, pools = c.embed_dim_per_stage[stage], 0 < stage <= c.num_query_pool_stages and not block
    everywhere = sum(c.blocks_per_stage[:stage]) + block in c.global_attention_blocks
    return PooledLayer(
        read=c.embed_dim_per_stage[before],
        width=width,
        inner=int(width * c.mlp_ratio),
        heads=c.num_attention_heads_per_stage[stage],
        window=0 if everywhere else c.window_size_per_stage[before],
        stride=pair(c.query_stride)[0] if pools else 1,
    )


def net(c: Sam2HieraDetConfig) -> PooledGrid:
    """Stages, of which some begin with queries that are pooled."""
    stages = enumerate(c.blocks_per_stage)
    return PooledGrid(
        channels=c.num_channels,
        width=c.hidden_size,
        patch=(pair(c.patch_kernel_size), pair(c.patch_stride), pair(c.patch_padding)),
        background=pair(c.window_positional_embedding_background_size),
        side=c.window_size_per_stage[0],
        layers=tuple(layer(c, stage, block) for stage, blocks in stages for block in range(blocks)),
        ends=tuple(count - 1 for count in itertools.accumulate(c.blocks_per_stage)),
        feed=Feed(("proj_in", "proj_out"), c.hidden_act, "activation"),
        eps=c.layer_norm_eps,
        names=NET,
        layer_names=LAYER,
        layer_class="Sam2MultiScaleBlock",
        std=c.initializer_range,
    )


def neck(c: Sam2VisionConfig) -> Pyramid:
    """Maps of one width."""
    return Pyramid(
        reads=tuple(c.backbone_channel_list),
        width=c.fpn_hidden_size,
        kernel=c.fpn_kernel_size,
        stride=c.fpn_stride,
        padding=c.fpn_padding,
        added=tuple(c.fpn_top_down_levels),
        kept=c.num_feature_levels,
        names=NECK,
    )


HIERA = register(
    Family(
        model_type="sam2_hiera_det_model",
        name="Sam2HieraDet",
        config=Sam2HieraDetConfig,
        base="",
        assembly=PooledGrids(net),
        heads={},
    )
)
VISION = register(
    Family(
        model_type="sam2_vision_model",
        name="Sam2Vision",
        config=Sam2VisionConfig,
        base="",
        assembly=Pyramids(lambda c: net(c.backbone_config), neck),
        heads={},
    )
)
