"""GIT (Wang et al. 2022, arXiv:2205.14100): a decoder of texts behind CLIP's states of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.image_prefix import Preceded
from formers.assemblies.single import Single
from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.models import bert, clip_towers
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.masks import Causal
from formers.tasks.specs import Words


class GitVisionConfig(PretrainedConfig):
    """Configuration of GIT's image model."""

    model_type = "git_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int | list[int] = 224
    patch_size: int | list[int] = 16
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02


class GitConfig(PretrainedConfig):
    """Configuration of GIT."""

    model_type = "git"
    sub_configs: ClassVar[dict[str, Any]] = {"vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"vision_config": {"model_type": "git_vision_model"}}
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1024
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    use_cache: bool = True
    tie_word_embeddings: bool = False
    bos_token_id: int | None = 101
    eos_token_id: int | list[int] | None = 102
    num_image_with_embedding: int | None = None


IMAGE_NAMES = replace(
    clip_towers.IMAGE_NAMES, stack={"first_norm": "pre_layrnorm", "final_norm": "post_layernorm"}
)
PROJECTION = "visual_projection.visual_projection"
NAMES = replace(
    bert.NAMES.with_(
        embeddings={"type": None, "before": f"{PROJECTION}.0", "before_norm": f"{PROJECTION}.1"}
    ),
    stack={},
)


def image(c: GitVisionConfig) -> spec.Stack:
    """CLIP's, where the norm behind the layers is of all states."""
    norm, size, patch = spec.Norm("layer", c.layer_norm_eps), spec.pair(c.image_size), spec.pair(c.patch_size)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    one = spec.layer(
        spec.Attention(heads, dropout=c.attention_dropout),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        "pre",
    )
    std = c.initializer_range
    return spec.Stack(
        stem=spec.Patches(c.num_channels, size, patch, c.hidden_size, std=std, bias=False, flat=True),
        layers=(one,) * c.num_hidden_layers,
        names=IMAGE_NAMES,
        width=c.hidden_size,
        layer_class="GitVisionEncoderLayer",
        first_norm=norm,
        final_norm=norm,
        reports="plain",
        initial_std=std,
    )


def stack(c: GitConfig) -> spec.Stack:
    """The decoder."""
    norm = spec.Norm("layer", c.layer_norm_eps)
    heads = spec.Heads.split(c.hidden_size, c.num_attention_heads)
    layer = spec.layer(
        spec.Attention(heads, Causal(), c.attention_probs_dropout_prob),
        spec.FeedForward(c.intermediate_size, c.hidden_act),
        norm,
        dropout=c.hidden_dropout_prob,
    )
    return spec.Stack(
        stem=spec.Preceded(
            c.vocab_size,
            c.hidden_size,
            positions=spec.LearnedPositions(c.max_position_embeddings),
            norm=norm,
            dropout=c.hidden_dropout_prob,
            padding_idx=c.pad_token_id,
            source=c.vision_config.hidden_size,
            source_norm=spec.Norm("layer", c.vision_config.layer_norm_eps),
        ),
        layers=(layer,) * c.num_hidden_layers,
        names=NAMES,
        width=c.hidden_size,
        layer_class="GitLayer",
        decoder=True,
        initial_std=c.initializer_range,
    )


GIT_VISION = register(
    Family(
        model_type="git_vision_model",
        name="GitVision",
        config=GitVisionConfig,
        base="git",
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
        renames=(Rename("vision_model.{rest}", "{rest}", written=True),),
        ignored=clip_towers.IGNORED,
        order=clip_towers.ORDER,
    )
)
GIT = register(
    Family(
        model_type="git",
        name="Git",
        config=GitConfig,
        base="git",
        assembly=Preceded(
            stack,
            image="image_encoder",
            model_of=base_class,
            frames=lambda c: c.num_image_with_embedding,
            time="img_temporal_embedding.{i}",
        ),
        heads={"ForCausalLM": Head("captions", lambda c: Words("output"))},
        renames=(Rename("image_encoder.vision_model.{rest}", "image_encoder.{rest}", written=True),),
        order=(("embeddings", "image_encoder", "encoder", "visual_projection"),),
        ignored=bert.BERT.ignored,
    )
)
