"""SAM's network (Kirillov et al. 2023, arXiv:2304.02643): patches attend within windows, or to all."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family
from formers.assemblies.vision.promptable_masks import Gridded
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.spec import nets
from formers.nn.spec.grid_layers import Feed, GridLayer, GridLayers


class PatchNetConfig(PretrainedConfig):
    """What configurations of the network have in common, whatever reads its maps."""

    base_config_key = "vision_config"
    hidden_size: int = 768
    output_channels: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 1024
    patch_size: int = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10
    qkv_bias: bool = True
    use_abs_pos: bool = True
    use_rel_pos: bool = True
    window_size: int = 14
    global_attn_indexes: list[int] = [2, 5, 8, 11]


class SamVisionConfig(PatchNetConfig):
    """Configuration of the network that reads pictures."""

    model_type = "sam_vision_model"
    mlp_ratio: float = 4.0
    num_pos_feats: int = 128
    mlp_dim: int | None = None
    scale: int = 384

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlp_dim = int(self.hidden_size * self.mlp_ratio) if self.mlp_dim is None else self.mlp_dim
        self.scale = self.hidden_size // 2


LAYER = {
    "attention_norm": "layer_norm1",
    "attention": "attn",
    "qkv": "qkv",
    "o": "proj",
    "down": "rel_pos_h",
    "across": "rel_pos_w",
    "feedforward_norm": "layer_norm2",
    "feedforward": "mlp",
}
NET = {"patch": "patch_embed.projection", "position": "pos_embed", "layers": "layers", "neck": "neck"}


def net(c: Any) -> GridLayers:
    """Layers that attend within windows, but for a few."""
    image, patch, wide, out = (c.image_size,) * 2, (c.patch_size,) * 2, c.hidden_size, c.output_channels
    stem = spec.Patches(c.num_channels, image, patch, wide)

    def layer(i: int) -> GridLayer:
        window = 0 if i in c.global_attn_indexes else c.window_size
        reach = ((window,) * 2 if window else stem.grid) if c.use_rel_pos else None
        return GridLayer(wide, int(c.mlp_dim or 0), c.num_attention_heads, window, reach)

    parts = {
        "conv1": nets.Conv(wide, out),
        "layer_norm1": nets.ChannelNorm(out),
        "conv2": nets.Conv(out, out, 3),
        "layer_norm2": nets.ChannelNorm(out),
    }
    return GridLayers(
        stem=stem,
        layers=tuple(layer(i) for i in range(c.num_hidden_layers)),
        feed=Feed(("lin1", "lin2"), c.hidden_act, "act"),
        neck=nets.Node(parts, (nets.MAPS, *parts)),
        bias=c.qkv_bias,
        eps=c.layer_norm_eps,
        dropout=c.attention_dropout,
        positions=c.use_abs_pos,
        names=NET,
        layer_names=LAYER,
        layer_class="SamVisionLayer",
        std=c.initializer_range,
    )


VISION = register(
    Family(
        model_type="sam_vision_model",
        name="SamVision",
        config=SamVisionConfig,
        base="sam",
        assembly=Gridded(net, "vision_encoder"),
        heads={},
    )
)
