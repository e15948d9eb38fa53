"""SAM (Kirillov et al. 2023, arXiv:2304.02643): masks of whatever is pointed at in a picture."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.vision.promptable_masks import PointedMasks
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.models.sam_vision import SamVisionConfig, net
from formers.nn.spec import nets
from formers.nn.spec.grid_layers import Feed, Pointed, Prompts


class SamPromptEncoderConfig(PretrainedConfig):
    """Configuration of what encodes prompts."""

    model_type = "sam_prompt_encoder"
    base_config_key = "prompt_encoder_config"
    hidden_size: int = 256
    image_size: int = 1024
    patch_size: int = 16
    mask_input_channels: int = 16
    num_point_embeddings: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    image_embedding_size: int = 64

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_embedding_size = self.image_size // self.patch_size


class SamMaskDecoderConfig(PretrainedConfig):
    """Configuration of what makes masks."""

    model_type = "sam_mask_decoder"
    base_config_key = "mask_decoder_config"
    hidden_size: int = 256
    hidden_act: str = "relu"
    mlp_dim: int = 2048
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    layer_norm_eps: float = 1e-6


class SamConfig(PretrainedConfig):
    """Configuration of SAM."""

    model_type = "sam"
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": SamVisionConfig,
        "prompt_encoder_config": SamPromptEncoderConfig,
        "mask_decoder_config": SamMaskDecoderConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {name: {} for name in sub_configs}
    initializer_range: float = 0.02


PROMPTS = {
    "place": "shared_embedding.positional_embedding",
    "mask": "mask_embed",
    "no_mask": "no_mask_embed",
    "points": "point_embed",
    "no_point": "not_a_point_embed",
}
DECODER = {
    "quality_token": "iou_token",
    "mask_tokens": "mask_tokens",
    "two_way": "transformer",
    "layers": "layers",
    "last": "final_attn_token_to_image",
    "last_norm": "layer_norm_final_attn",
    "enlarge1": "upscale_conv1",
    "enlarge2": "upscale_conv2",
    "enlarge_norm": "upscale_layer_norm",
    "act": "activation",
    "mixers": "output_hypernetworks_mlps",
    "quality": "iou_prediction_head",
}
TWO_WAY = {
    "own": "self_attn",
    "own_norm": "layer_norm1",
    "out": "cross_attn_token_to_image",
    "out_norm": "layer_norm2",
    "feedforward": "mlp",
    "feedforward_norm": "layer_norm3",
    "back": "cross_attn_image_to_token",
    "back_norm": "layer_norm4",
}
HEADS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}


def masked(p: Any) -> nets.Node:
    """What reads a mask, by a configuration of what encodes prompts."""
    wide = p.mask_input_channels
    parts = {
        "activation": nets.Act(p.hidden_act),
        "conv1": nets.Conv(1, wide // 4, 2, 2, bias=True, padding=0),
        "conv2": nets.Conv(wide // 4, wide, 2, 2, bias=True, padding=0),
        "conv3": nets.Conv(wide, p.hidden_size, bias=True),
        "layer_norm1": nets.ChannelNorm(wide // 4, p.layer_norm_eps),
        "layer_norm2": nets.ChannelNorm(wide, p.layer_norm_eps),
    }
    run = ("conv1", "layer_norm1", "activation", "conv2", "layer_norm2", "activation", "conv3")
    return nets.Node(parts, run)


def prompts(c: SamConfig) -> Prompts:
    """Points, boxes and masks."""
    p, waves = c.prompt_encoder_config, c.vision_config
    return Prompts(
        width=p.hidden_size,
        image=p.image_size,
        grid=p.image_embedding_size,
        waves=waves.num_pos_feats,
        scale=waves.scale,
        kinds=p.num_point_embeddings,
        mask=masked(p),
        names=PROMPTS,
    )


def feed(depth: int) -> Feed:
    """Feed-forwards of that many layers."""
    return Feed(("proj_in", *(f"layers.{i}" for i in range(depth - 2)), "proj_out"), "relu", "activation")


def decoder(c: SamConfig) -> Pointed:
    """Masks."""
    d = c.mask_decoder_config
    return Pointed(
        width=d.hidden_size,
        layers=d.num_hidden_layers,
        heads=d.num_attention_heads,
        inner=d.mlp_dim,
        share=2,  # whatever the config says
        last_share=d.attention_downsample_rate,
        eps=d.layer_norm_eps,
        masks=d.num_multimask_outputs,
        quality=(d.iou_head_depth, d.iou_head_hidden_dim),
        layer_feed=Feed(("lin1", "lin2"), d.hidden_act, "act"),
        feed=feed,
        names=DECODER,
        layer_names=TWO_WAY,
        heads_names=HEADS,
    )


ORDER = (
    ("self_attn", "layer_norm1", "cross_attn_token_to_image", "layer_norm2", "mlp", "layer_norm3"),
    ("layer_norm4", "cross_attn_image_to_token"),
    ("proj_in", "proj_out", "layers"),
    ("upscale_conv1", "upscale_conv2", "upscale_layer_norm", "output_hypernetworks_mlps"),
)
SAM = register(
    Family(
        model_type="sam",
        name="Sam",
        config=SamConfig,
        base="sam",
        assembly=PointedMasks(
            lambda c: net(c.vision_config),
            "vision_encoder",
            prompts,
            decoder,
            {
                "places": "shared_image_embedding.positional_embedding",
                "prompts": "prompt_encoder",
                "decoder": "mask_decoder",
            },
        ),
        heads={"Model": Head("mask_generation", lambda c: None)},
        order=ORDER,
    )
)
