"""SAM 2 (Ravi et al. 2024, arXiv:2408.00714), of films: objects that were pointed at, in every frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Head
from formers.assemblies.vision.video_masks import VideoMasks
from formers.configs import PretrainedConfig
from formers.models import sam, sam2
from formers.models.registry import register
from formers.models.sam2_vision import Sam2VisionConfig
from formers.nn.nets.memory_attention import halvings
from formers.nn.spec import nets
from formers.nn.spec.memory_attention import FrameMemory, MemoryAttention


class Sam2VideoPromptEncoderConfig(sam2.Sam2PromptEncoderConfig):
    """Configuration of what encodes prompts."""

    model_type = "sam2_video_prompt_encoder"


class Sam2VideoMaskDecoderConfig(sam2.Sam2MaskDecoderConfig):
    """Configuration of what makes masks."""

    model_type = "sam2_video_mask_decoder"


class Sam2VideoConfig(PretrainedConfig):
    """Configuration of SAM 2 of films.

    Raises:
        ValueError: for maps that do not fit the prompts.
    """

    model_type = "sam2_video"
    default_rope_type = "axial"
    attribute_map: ClassVar[dict[str, str]] = {"memory_attention_rope_theta": "rope_theta"}
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": Sam2VisionConfig,
        "prompt_encoder_config": Sam2VideoPromptEncoderConfig,
        "mask_decoder_config": Sam2VideoMaskDecoderConfig,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {name: {} for name in sub_configs}
    initializer_range: float = 0.02
    num_maskmem: int = 7
    image_size: int = 1024
    sigmoid_scale_for_mem_enc: float = 20.0
    sigmoid_bias_for_mem_enc: float = -10.0
    enable_occlusion_spatial_embedding: bool = True
    multimask_output_in_sam: bool = True
    multimask_min_pt_num: int = 0
    multimask_max_pt_num: int = 1
    multimask_output_for_tracking: bool = True
    max_object_pointers_in_encoder: int = 16
    max_cond_frame_num: int = -1
    enable_temporal_pos_encoding_for_object_pointers: bool = True
    memory_attention_hidden_size: int = 256
    memory_attention_num_layers: int = 4
    memory_attention_num_attention_heads: int = 1
    memory_attention_downsample_rate: int = 1
    memory_attention_feed_forward_hidden_size: int = 2048
    memory_attention_feed_forward_hidden_act: str = "relu"
    memory_attention_dropout: float = 0.1
    memory_attention_rope_feat_sizes: list[int] = [64, 64]
    memory_attention_rope_dropout: float = 0.1
    memory_encoder_hidden_size: int = 256
    memory_encoder_output_channels: int = 64
    rope_parameters: dict[str, Any] | None = None
    mask_downsampler_embed_dim: int = 256
    mask_downsampler_kernel_size: int = 3
    mask_downsampler_stride: int = 2
    mask_downsampler_padding: int = 1
    mask_downsampler_total_stride: int = 16
    mask_downsampler_hidden_act: str = "gelu"
    memory_fuser_num_layers: int = 2
    memory_fuser_embed_dim: int = 256
    memory_fuser_intermediate_dim: int = 1024
    memory_fuser_kernel_size: int = 7
    memory_fuser_padding: int = 3
    memory_fuser_layer_scale_init_value: float = 1e-6
    memory_fuser_hidden_act: str = "gelu"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sam2.check_maps(self.vision_config)


RECALL = {"layers": "layers", "norm": "layer_norm", "turns": "rotary_emb"}
LAYER = {
    **{"own": "self_attn", "own_norm": "layer_norm1", "own_drop": "dropout1"},
    **{"memory": "cross_attn_image", "memory_norm": "layer_norm2", "memory_drop": "dropout2"},
    **{"widen": "linear1", "drop": "dropout", "narrow": "linear2", "act": "activation"},
    **{"feedforward_norm": "layer_norm3", "feedforward_drop": "dropout3"},
}
MEMORY = {
    **{"recall": "memory_attention", "encoder": "memory_encoder", "places": "position_encoding"},
    "when": "memory_temporal_positional_encoding",
    "none": "no_object_pointer",
    "unread": "no_memory_positional_encoding",
    "hidden": "occlusion_spatial_embedding_parameter",
    "pointer": "object_pointer_proj",
    "pointer_when": "temporal_positional_encoding_projection_layer",
    "shrink": "mask_downsample",
}


def smaller(c: Sam2VideoConfig) -> nets.Node:
    """A mask becomes as small as the map, with ever more channels."""
    stride, form = c.mask_downsampler_stride, (c.mask_downsampler_kernel_size, c.mask_downsampler_stride)
    count = halvings(c.mask_downsampler_total_stride, stride)
    widths = [stride ** (2 * i) for i in range(count + 1)]
    layers = [
        nets.Node(
            {
                "conv": nets.Conv(read, made, *form, bias=True, padding=c.mask_downsampler_padding),
                "layer_norm": nets.ChannelNorm(made),
                "activation": nets.Act(c.mask_downsampler_hidden_act),
            }
        )
        for read, made in zip(widths, widths[1:], strict=False)
    ]
    parts = {
        "layers": nets.row(*layers),
        "activation": nets.Act(c.mask_downsampler_hidden_act),
        "final_conv": nets.Conv(widths[-1], c.mask_downsampler_embed_dim, bias=True),
    }
    return nets.Node(parts, ("layers", "final_conv"))


def fused(c: Sam2VideoConfig) -> nets.Node:
    """A wide convolution of every channel by itself, and two layers over the channels of every place."""
    wide, inner = c.memory_fuser_embed_dim, c.memory_fuser_intermediate_dim
    conv = nets.Conv(
        wide, wide, c.memory_fuser_kernel_size, groups=wide, bias=True, padding=c.memory_fuser_padding
    )
    parts = {
        "scale": nets.Factor(wide, c.memory_fuser_layer_scale_init_value),
        "depthwise_conv": conv,
        "layer_norm": nets.ChannelNorm(wide),
        "activation": nets.Act(c.memory_fuser_hidden_act),
        "pointwise_conv1": nets.Dense(wide, inner),
        "pointwise_conv2": nets.Dense(inner, wide),
    }
    layers = ("pointwise_conv1", "activation", "pointwise_conv2", nets.Scaled("scale"))
    run = (nets.BEGIN, "depthwise_conv", "layer_norm", nets.ROWS, *layers, nets.MAPS, nets.SUM)
    return nets.Node(parts, run)


def memory(c: Sam2VideoConfig) -> FrameMemory:
    """What is remembered of frames."""
    wide, kept = c.memory_encoder_hidden_size, c.memory_encoder_output_channels
    blocks = nets.row(*(fused(c) for _ in range(c.memory_fuser_num_layers)))
    encoder = {
        "mask_downsampler": smaller(c),
        "feature_projection": nets.Conv(wide, wide, bias=True),
        "memory_fuser": nets.Node({"layers": blocks}),
        "projection": nets.Conv(wide, kept, bias=True),
    }
    recall = MemoryAttention(
        width=c.memory_attention_hidden_size,
        read=kept,
        inner=c.memory_attention_feed_forward_hidden_size,
        layers=c.memory_attention_num_layers,
        heads=c.memory_attention_num_attention_heads,
        share=c.memory_attention_downsample_rate,
        act=c.memory_attention_feed_forward_hidden_act,
        dropout=c.memory_attention_dropout,
        weights_dropout=c.memory_attention_rope_dropout,
        theta=(c.rope_parameters or {})["rope_theta"],
        grid=(c.memory_attention_rope_feat_sizes[0], c.memory_attention_rope_feat_sizes[1]),
        names=RECALL,
        layer_names=LAYER,
        heads_names={**sam.HEADS, "o": "o_proj"},
    )
    return FrameMemory(
        recall=recall,
        encoder=nets.Node(
            encoder, ("feature_projection", nets.Plus("mask_downsampler"), "memory_fuser", "projection")
        ),
        width=c.vision_config.fpn_hidden_size,
        kept=kept,
        frames=c.num_maskmem,
        prompted=c.max_cond_frame_num,
        pointers=c.max_object_pointers_in_encoder,
        pointer=sam.feed(3),
        timed=c.enable_temporal_pos_encoding_for_object_pointers,
        occluded=c.enable_occlusion_spatial_embedding,
        sigmoid=(c.sigmoid_scale_for_mem_enc, c.sigmoid_bias_for_mem_enc),
        several=(c.multimask_min_pt_num, c.multimask_max_pt_num) if c.multimask_output_in_sam else None,
        tracked=c.multimask_output_for_tracking,
        image=c.image_size,
        names=MEMORY,
    )


SAM2_VIDEO = register(
    replace(
        sam2.SAM2,
        model_type="sam2_video",
        name="Sam2Video",
        config=Sam2VideoConfig,
        base="sam2_video",
        assembly=VideoMasks(sam2.PARTS, memory),
        heads={"ForMaskGeneration": Head("mask_generation", lambda c: None, other="sam2")},
        spelt={"ForMaskGeneration": "Sam2Model"},
        ignored=(),
    )
)
