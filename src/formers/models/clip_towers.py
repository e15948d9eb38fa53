"""CLIP's two towers (Radford et al. 2021, arXiv:2103.00020), each a family that can stand alone."""

from __future__ import annotations

from typing import Any

from formers.assemblies.family import Family, Head
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models.registry import register
from formers.nn import spec
from formers.nn.masks import Causal, Full, Mask
from formers.tasks.projection import Spec as Projected


class CLIPTextConfig(PretrainedConfig):
    """Configuration of CLIP's text tower."""

    model_type = "clip_text_model"
    base_config_key = "text_config"
    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int | list[int] | None = 49407


class CLIPVisionConfig(PretrainedConfig):
    """Configuration of CLIP's image tower."""

    model_type = "clip_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0


NAMES = spec.Names(
    layers="encoder.layers",
    layer={
        "attention_norm": "layer_norm1",
        **{role: f"self_attn.{role}_proj" for role in "qkv"},
        "o": "self_attn.out_proj",
        "feedforward_norm": "layer_norm2",
        "up": "mlp.fc1",
        "act": "mlp.activation_fn",
        "down": "mlp.fc2",
    },
    embeddings={"token": "embeddings.token_embedding", "position": "embeddings.position_embedding"},
    stack={"final_norm": "final_layer_norm"},
)
IMAGE_NAMES = spec.Names(
    layers=NAMES.layers,
    layer=NAMES.layer,
    embeddings={
        "class": "embeddings.class_embedding",
        "patch": "embeddings.patch_embedding",
        "position": "embeddings.position_embedding",
    },
    stack={"first_norm": "pre_layrnorm", "pooler": "post_layernorm"},
)


def deviations(wide: int, depth: int, factor: float) -> dict[str, float]:
    """Of a layer's fresh weights."""
    one, names = wide**-0.5 * factor, [f"self_attn.{role}_proj.weight" for role in "qkv"]
    made = dict.fromkeys((*names, "mlp.fc2.weight"), one * (2 * depth) ** -0.5)
    return {**made, "self_attn.out_proj.weight": one, "mlp.fc1.weight": one * 2**-0.5}


def tower(c: Any, mask: Mask, **parts: Any) -> spec.Stack:
    """The layers of either tower, causal or not."""
    norm, wide = spec.Norm("layer", c.layer_norm_eps), c.hidden_size
    attention = spec.Attention(spec.Heads.split(wide, c.num_attention_heads), mask, c.attention_dropout)
    one = spec.layer(attention, spec.FeedForward(c.intermediate_size, c.hidden_act), norm, "pre")
    return spec.Stack(
        layers=(one,) * c.num_hidden_layers,
        width=wide,
        layer_class="CLIPEncoderLayer",
        reports="plain",
        init=deviations(wide, c.num_hidden_layers, c.initializer_factor),
        **parts,
    )


def text(c: CLIPTextConfig) -> spec.Stack:
    """Causal, and yet no decoder. Older files name 2 as the end, and mean the highest id."""
    ends = [c.eos_token_id] if isinstance(c.eos_token_id, int) else c.eos_token_id or []
    return tower(
        c,
        Causal(),
        stem=spec.Tokens(c.vocab_size, c.hidden_size, spec.LearnedPositions(c.max_position_embeddings)),
        names=NAMES,
        final_norm=spec.Norm("layer", c.layer_norm_eps),
        pooler=spec.Summary("end", () if ends == [2] else tuple(ends)),
        initial_std=0.02 * c.initializer_factor,
    )


def image(c: CLIPVisionConfig, free: bool = False) -> spec.Stack:
    """A class token and patches, with a norm before the layers, and one of what stands for the image.

    `free`: images of any size are read.
    """
    size, patch = spec.pair(c.image_size), spec.pair(c.patch_size)
    std = c.hidden_size**-0.5 * c.initializer_factor
    norm = spec.Norm("layer", c.layer_norm_eps)
    return tower(
        c,
        Full(),
        stem=spec.Patches(
            c.num_channels, size, patch, c.hidden_size, std=std, bias=False, flat=True, free=free
        ),
        names=IMAGE_NAMES,
        first_norm=norm,
        pooler=spec.Summary("first", norm=norm),
        initial_std=c.initializer_range * c.initializer_factor,
    )


def projection(out: str, name: str) -> Head:
    """The vector in the shared space."""
    return Head(
        "projection",
        lambda c: Projected(out, c.projection_dim, name, c.hidden_size**-0.5 * c.initializer_factor),
        pooler=True,
    )


ORDER = (
    ("k_proj", "v_proj", "q_proj", "out_proj"),
    ("self_attn", "layer_norm1", "mlp", "layer_norm2"),
    ("patch_embedding", "position_embedding"),
    ("visual_projection", "text_projection"),
)
IGNORED = (r"(^|\.)embeddings\.position_ids$",)
TEXT = register(
    Family(
        model_type="clip_text_model",
        name="CLIPText",
        config=CLIPTextConfig,
        base="text_model",
        assembly=Single(text, reads=("input_ids", "attention_mask", "position_ids")),
        heads={
            "Model": Head("encoder", lambda c: None),
            "ModelWithProjection": projection("text_projection", "text_embeds"),
        },
        ignored=IGNORED,
        order=ORDER,
    )
)
IMAGE = register(
    Family(
        model_type="clip_vision_model",
        name="CLIPVision",
        config=CLIPVisionConfig,
        base="vision_model",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={"ModelWithProjection": projection("visual_projection", "image_embeds")},
        ignored=IGNORED,
        order=ORDER,
    )
)
