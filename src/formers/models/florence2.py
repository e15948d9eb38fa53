"""Florence-2 (Xiao et al. 2023, arXiv:2311.06242): DaViT's map in what BART's encoder reads."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.image_text_pair import ImageTextPair, MapConnector
from formers.assemblies.vision.feature_maps import FeatureMaps
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.spec import nets
from formers.tasks.specs import Words


class Florence2VisionConfig(PretrainedConfig):
    """Configuration of DaViT as Florence-2 has it."""

    model_type = "florence_vision"
    base_config_key = "vision_config"
    in_channels: int = 3
    depths: list[int] = [1, 1, 9, 1]
    patch_size: list[int] = [7, 3, 3, 3]
    patch_stride: list[int] = [4, 2, 2, 2]
    patch_padding: list[int] = [3, 1, 1, 1]
    patch_prenorm: list[bool] = [False, True, True, True]
    embed_dim: list[int] = [128, 256, 512, 1024]
    num_heads: list[int] = [4, 8, 16, 32]
    num_groups: list[int] = [4, 8, 16, 32]
    window_size: int = 12
    drop_path_rate: float = 0.1
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    activation_function: str = "gelu"
    projection_dim: int = 1024
    max_temporal_embeddings: int = 100
    max_position_embeddings: int = 50
    initializer_range: float = 0.02


class Florence2Config(PretrainedConfig):
    """Configuration of Florence-2."""

    model_type = "florence2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": Florence2VisionConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "bart"},
        "vision_config": {},
    }
    image_token_id: int = 51289
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = True


DUAL = {
    **{"windows": "spatial_block", "windows_mix": "window_attn", "channels": "channel_block"},
    **{"channels_mix": "channel_attn", "conv_1": "conv1", "conv_2": "conv2", "norm_1": "norm1"},
    **{"norm_2": "norm2", "drop_1": "drop_path1", "drop_2": "drop_path2", "feedforward": "ffn"},
    **{"qkv": "qkv", "o": "proj", "act": "activation_fn", "up": "fc1", "down": "fc2"},
}


def smaller(c: Florence2VisionConfig, i: int) -> nets.Node:
    """A convolution that makes the map smaller, and its norm before it or behind it."""
    read = c.embed_dim[i - 1] if i else c.in_channels
    conv = nets.Conv(
        read, c.embed_dim[i], c.patch_size[i], c.patch_stride[i], bias=True, padding=c.patch_padding[i]
    )
    first = c.patch_prenorm[i]
    norm = nets.ChannelNorm(read if first else c.embed_dim[i], 1e-5, rows=True)
    normed = (nets.ROWS, "norm", nets.MAPS)
    return nets.Node({"conv": conv, "norm": norm}, (*normed, "conv") if first else ("conv", *normed))


def block(c: Florence2VisionConfig, i: int, drops: tuple[float, float]) -> nets.DualAttention:
    """One of a stage."""
    width = c.embed_dim[i]
    return nets.DualAttention(
        width=width,
        heads=c.num_heads[i],
        groups=c.num_groups[i],
        window=c.window_size,
        inner=int(width * c.mlp_ratio),
        act=c.activation_function,
        drops=drops,
        names=DUAL,
        bias=c.qkv_bias,
    )


def network(c: Florence2VisionConfig) -> nets.Net:
    """Convolutions and blocks by turns.

    Raises:
        ValueError: where stages are not told as many of everything.
    """
    stages = len(c.embed_dim)
    if not stages == len(c.num_heads) == len(c.num_groups) == len(c.depths):
        raise ValueError(
            f"embed_dim, depths, num_heads and num_groups say something of each stage, but have {stages}, "
            f"{len(c.depths)}, {len(c.num_heads)} and {len(c.num_groups)} entries"
        )
    drops = nets.rates(c.drop_path_rate, [2 * depth for depth in c.depths])
    blocks = (
        nets.row(*(block(c, i, (drops[i][2 * j], drops[i][2 * j + 1])) for j in range(depth)))
        for i, depth in enumerate(c.depths)
    )
    run = [
        one
        for i, depth in enumerate(c.depths)
        for one in (
            f"convs.{i}",
            *(() if i else (nets.KEEP,)),
            *chain.from_iterable((f"blocks.{i}.{j}", nets.KEEP) for j in range(depth)),
        )
    ]
    convs = nets.row(*(smaller(c, i) for i in range(stages)))
    return nets.Net(
        {"convs": convs, "blocks": nets.row(*blocks)},
        tuple(run),
        channels=c.in_channels,
        widths=tuple(c.embed_dim),
        std=c.initializer_range,
    )


def connector(c: Florence2Config) -> MapConnector:
    """Places, a projection, a norm."""
    v = c.vision_config
    return MapConnector(
        "multi_modal_projector",
        (v.embed_dim[-1], v.projection_dim),
        c.image_token_id,
        (v.max_position_embeddings, v.max_temporal_embeddings),
        {
            **{"project": "image_projection", "norm": "image_proj_norm", "sides": "image_position_embed"},
            **{"rows": "row_embeddings", "columns": "column_embeddings"},
            **{"moments": "visual_temporal_embed", "table": "pos_idx_to_embed"},
        },
    )


FLORENCE2_VISION = register(
    Family(
        model_type="florence_vision",
        name="Florence2Vision",
        config=Florence2VisionConfig,
        base="vision_tower",
        assembly=FeatureMaps(network, reads="hidden_states"),
        heads={},
        bare="Backbone",
    )
)
FLORENCE2 = register(
    Family(
        model_type="florence2",
        name="Florence2",
        config=Florence2Config,
        base="model",
        assembly=ImageTextPair(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
        ),
        heads={
            "ForConditionalGeneration": Head("pictured_generation", lambda c: Words("lm_head", bias=False))
        },
    )
)
