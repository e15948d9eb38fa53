"""SAM 2 (Ravi et al. 2024, arXiv:2408.00714), of pictures: masks of whatever is pointed at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Head
from formers.assemblies.vision.promptable_pyramids import HighResolutionMasks
from formers.configs import PretrainedConfig
from formers.models import sam
from formers.models.registry import register
from formers.models.sam2_vision import Sam2VisionConfig, neck, net, pair
from formers.nn.spec.grid_layers import Pointed, Prompts


class Sam2PromptEncoderConfig(PretrainedConfig):
    """Configuration of what encodes prompts."""

    model_type = "sam2_prompt_encoder"
    base_config_key = "prompt_encoder_config"
    hidden_size: int = 256
    image_size: int = 1024
    patch_size: int = 16
    mask_input_channels: int = 16
    num_point_embeddings: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    scale: int = 1


class Sam2MaskDecoderConfig(PretrainedConfig):
    """Configuration of what makes masks."""

    model_type = "sam2_mask_decoder"
    base_config_key = "mask_decoder_config"
    hidden_size: int = 256
    hidden_act: str = "gelu"
    mlp_dim: int = 2048
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    dynamic_multimask_via_stability: bool = True
    dynamic_multimask_stability_delta: float = 0.05
    dynamic_multimask_stability_thresh: float = 0.98


class Sam2Config(PretrainedConfig):
    """Configuration of SAM 2.

    Raises:
        ValueError: for maps that do not fit the prompts.
    """

    model_type = "sam2"
    reads = ("sam2_video",)  # which files for pictures and for films say that they are
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": Sam2VisionConfig,
        "prompt_encoder_config": Sam2PromptEncoderConfig,
        "mask_decoder_config": Sam2MaskDecoderConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {name: {} for name in sub_configs}
    initializer_range: float = 0.02

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_maps(self.vision_config)


def check_maps(c: Sam2VisionConfig) -> None:
    """Refuse maps that masks are not made of."""
    if c.num_feature_levels != 3:
        raise ValueError(
            f"masks are made of three maps, but vision_config.num_feature_levels is {c.num_feature_levels}"
        )


def prompts(c: Sam2Config) -> Prompts:
    """Points, boxes and masks."""
    p = c.prompt_encoder_config
    return Prompts(
        width=p.hidden_size,
        image=p.image_size,
        grid=p.image_size // p.patch_size,
        waves=p.hidden_size // 2,
        scale=p.scale,
        kinds=p.num_point_embeddings,
        mask=sam.masked(p),
        names=sam.PROMPTS,
        joint=True,
        learns=False,
    )


def decoder(c: Sam2Config) -> Pointed:
    """Masks."""
    d = c.mask_decoder_config
    sure = (d.dynamic_multimask_stability_delta, d.dynamic_multimask_stability_thresh)
    return Pointed(
        width=d.hidden_size,
        layers=d.num_hidden_layers,
        heads=d.num_attention_heads,
        inner=d.mlp_dim,
        share=d.attention_downsample_rate,
        last_share=d.attention_downsample_rate,
        eps=1e-5,
        masks=d.num_multimask_outputs,
        quality=(d.iou_head_depth, d.iou_head_hidden_dim),
        layer_feed=sam.feed(d.num_hidden_layers),  # as deep as there are layers, as in the ecosystem
        feed=sam.feed,
        names={
            **sam.DECODER,
            "near0": "conv_s0",
            "near1": "conv_s1",
            "there_token": "obj_score_token",
            "there": "pred_obj_score_head",
        },
        layer_names=sam.TWO_WAY,
        heads_names={**sam.HEADS, "o": "o_proj"},
        squash=True,
        sharp=True,
        sure=sure if d.dynamic_multimask_via_stability else None,
    )


PARTS = (
    lambda c: net(c.vision_config.backbone_config),
    lambda c: neck(c.vision_config),
    prompts,
    decoder,
    lambda c: tuple(pair(size) for size in c.vision_config.backbone_feature_sizes),
    {
        "net": "vision_encoder",
        "places": "shared_image_embedding.positional_embedding",
        "prompts": "prompt_encoder",
        "decoder": "mask_decoder",
        "alone": "no_memory_embedding",
    },
)
SAM2 = register(
    replace(
        sam.SAM,
        model_type="sam2",
        name="Sam2",
        config=Sam2Config,
        base="sam2",
        assembly=HighResolutionMasks(*PARTS),
        heads={"Model": Head("mask_generation", lambda c: None)},
        ignored=(  # of what remembers the frames of a film
            r"memory_.*",
            r"mask_downsample.*",
            r"object_pointer_proj.*",
            r"temporal_positional_encoding_projection_layer.*",
            r"no_memory_positional_encoding",
            r"no_object_pointer",
            r"occlusion_spatial_embedding_parameter",
        ),
    )
)
