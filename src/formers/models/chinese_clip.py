"""Chinese CLIP (Yang et al. 2022, arXiv:2211.01335): CLIP's image tower beside BERT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.base import BaseModel
from formers.assemblies.multimodal.contrastive import DualTowers
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import bert, clip, clip_towers
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec


class ChineseCLIPTextConfig(PretrainedConfig):
    """Configuration of Chinese CLIP's text tower."""

    model_type = "chinese_clip_text_model"
    base_config_key = "text_config"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    initializer_factor: float = 1.0
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | None = None


class ChineseCLIPVisionConfig(clip_towers.CLIPVisionConfig):
    """Configuration of Chinese CLIP's image tower."""

    model_type = "chinese_clip_vision_model"


class ChineseCLIPConfig(clip.CLIPConfig):
    """Configuration of Chinese CLIP."""

    model_type = "chinese_clip"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": ChineseCLIPTextConfig,
        "vision_config": ChineseCLIPVisionConfig,
    }
    initializer_range: float = 0.02


READS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


def text(c: ChineseCLIPTextConfig) -> spec.Stack:
    """BERT."""
    return bert.encoder(c, "ChineseCLIPTextLayer")


def image(c: ChineseCLIPVisionConfig) -> spec.Stack:
    """CLIP's."""
    return replace(clip_towers.image(c), layer_class="ChineseCLIPVisionLayer")


TEXT = register(
    replace(
        clip_towers.TEXT,
        model_type="chinese_clip_text_model",
        name="ChineseCLIPText",
        config=ChineseCLIPTextConfig,
        assembly=Single(text, reads=(*READS, "inputs_embeds")),
        heads={},
        order=(),
    )
)
register(
    replace(
        clip_towers.IMAGE,
        model_type="chinese_clip_vision_model",
        name="ChineseCLIPVision",
        config=ChineseCLIPVisionConfig,
        assembly=Single(image, spec.Patches, reads=("pixel_values", "interpolate_pos_encoding")),
        heads={},
    )
)


class TextTower(BaseModel):
    """The text tower of the whole: the first token's state, as it is, stands for a text."""

    _family = TEXT
    _assembly = Single(lambda c: replace(text(c), pooler=spec.Summary("first")), reads=READS)
    config_class = ChineseCLIPTextConfig
    base_model_prefix = TEXT.base


CHINESE_CLIP = register(
    replace(
        clip.CLIP,
        model_type="chinese_clip",
        name="ChineseCLIP",
        config=ChineseCLIPConfig,
        base="chinese_clip",
        assembly=DualTowers(
            lambda c: TextTower if isinstance(c, ChineseCLIPTextConfig) else base_class(c),
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=clip.shared,
            reads=READS,
        ),
        heads={"Model": clip.CLIP.heads["Model"]},
    )
)
