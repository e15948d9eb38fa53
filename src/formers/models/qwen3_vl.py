"""Qwen3-VL (Bai et al. 2025, arXiv:2511.21631): Qwen2-VL over Qwen3, and what is seen at several depths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any, ClassVar

from formers.assemblies.multimodal.dynamic_resolution import Grids
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import llama, qwen2_vl, qwen3
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.nn.multimodal_positions import Shown


class Qwen3VLVisionConfig(PretrainedConfig):
    """Configuration of Qwen3-VL's model of patches."""

    model_type = "qwen3_vl_vision"
    base_config_key = "vision_config"
    attribute_map: ClassVar[dict[str, str]] = qwen2_vl.Qwen2VLVisionConfig.attribute_map
    depth: int = 27
    hidden_size: int = 1152
    hidden_act: str = "gelu_pytorch_tanh"
    intermediate_size: int = 4304
    num_heads: int = 16
    in_channels: int = 3
    patch_size: int | list[int] = 16
    spatial_merge_size: int = 2
    temporal_patch_size: int | list[int] = 2
    out_hidden_size: int = 3584
    num_position_embeddings: int = 2304
    deepstack_visual_indexes: list[int] | tuple[int, ...] = (8, 16, 24)
    initializer_range: float = 0.02


class Qwen3VLTextConfig(llama.DecoderConfig):
    """Configuration of Qwen3-VL's text model."""

    model_type = "qwen3_vl_text"
    base_config_key = "text_config"
    default_theta = 500000.0
    vocab_size: int = 151936
    intermediate_size: int = 22016
    num_key_value_heads: int | None = 32
    head_dim: int = 128
    max_position_embeddings: int = 128000
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None


class Qwen3VLConfig(qwen2_vl.Qwen2VLConfig):
    """Configuration of Qwen3-VL."""

    model_type = "qwen3_vl"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Qwen3VLTextConfig,
        "vision_config": Qwen3VLVisionConfig,
    }


def merger(role: str, path: str) -> dict[str, str]:
    """Paths of what makes one row of several."""
    inside = {"norm": "norm", "in": "linear_fc1", "act": "act_fn", "out": "linear_fc2"}
    return {f"{role}_node": path, **{f"{role}_{part}": f"{path}.{name}" for part, name in inside.items()}}


NAMES = qwen2_vl.IMAGE_NAMES.with_(
    layer={"up": "mlp.linear_fc1", "act": "mlp.act_fn", "down": "mlp.linear_fc2"},
    embeddings={"position": "pos_embed"},
    stack={**merger("merge", "merger"), **merger("tap", "deepstack_merger_list.{i}")},
)


def image(c: Qwen3VLVisionConfig) -> spec.Stack:
    """The model of patches, read behind some of its layers too."""
    inner, norm = spec.FeedForward(c.intermediate_size, c.hidden_act), qwen2_vl.IMAGE_NORM
    within = ("frames",) * c.depth
    made = qwen2_vl.over_patches(
        c, c.hidden_size, inner, norm, c.out_hidden_size, within, "Qwen3VLVisionBlock"
    )
    taps = tuple(c.deepstack_visual_indexes)
    stem = qwen2_vl.patches(c, c.hidden_size, bias=True, side=isqrt(c.num_position_embeddings))
    pooler = spec.Merged(c.spatial_merge_size**2, norm, c.out_hidden_size, taps=taps)
    return replace(made, stem=stem, pooler=pooler, names=NAMES)


def text(c: Qwen3VLTextConfig) -> spec.Stack:
    """The text model, whose first layers add what is seen at several depths."""
    feedforward = llama.feedforward(c, c.intermediate_size)
    plain = llama.attention(c, Causal(), c.attention_bias, rotary=None)
    rotary = qwen2_vl.grid_turns(c, plain.heads.width, (24, 20, 20), "turns")
    mixer = replace(plain, rotary=rotary, qk_norm=spec.Norm("rms", c.rms_norm_eps))
    layers = (llama.block(c, mixer, feedforward),) * c.num_hidden_layers
    made = llama.decoder(c, layers, "Qwen3VLTextDecoderLayer", names=qwen3.NAMES)
    stem = spec.DeepVisualTokens(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
    return replace(made, stem=stem)


def films(c: Qwen3VLConfig, grids: Grids, given: Mapping[str, Any]) -> list[Shown]:
    """The frames of a film stand by themselves, with their times in words between them."""
    frames = [(1, down, across) for count, down, across in grids for _ in range(count)]
    return qwen2_vl.stands(c, frames, given)


TEXT_READS = (
    *("input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "use_cache"),
    *("visual_pos_masks", "deepstack_visual_embeds"),
)
TEXT = register(
    qwen2_vl.part(
        "qwen3_vl_text",
        "Qwen3VLText",
        Qwen3VLTextConfig,
        Single(text, spec.DeepVisualTokens, reads=TEXT_READS),
    )
)
IMAGE = register(
    qwen2_vl.part(
        "qwen3_vl_vision",
        "Qwen3VLVision",
        Qwen3VLVisionConfig,
        Single(image, spec.GridPatches, reads=qwen2_vl.READS),
    )
)
KINDS = (qwen2_vl.PICTURES, replace(qwen2_vl.FILMS, stands=films))
QWEN3_VL = register(qwen2_vl.whole("qwen3_vl", "Qwen3VL", Qwen3VLConfig, KINDS, renames=()))
