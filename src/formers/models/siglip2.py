"""SigLIP 2 (Tschannen et al. 2025, arXiv:2502.14786): SigLIP for images of any form, given as patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.contrastive import DualTowers
from formers.assemblies.single import Single
from formers.configs import PretrainedConfig
from formers.models import siglip
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn import spec


class Siglip2TextConfig(siglip.SiglipTextConfig):
    """Configuration of SigLIP 2's text tower."""

    model_type = "siglip2_text_model"


class Siglip2VisionConfig(PretrainedConfig):
    """Configuration of SigLIP 2's image tower."""

    model_type = "siglip2_vision_model"
    base_config_key = "vision_config"
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    num_patches: int = 256
    patch_size: int = 16
    hidden_act: str = "gelu_pytorch_tanh"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    vision_use_head: bool = True


class Siglip2Config(siglip.SiglipConfig):
    """Configuration of SigLIP 2."""

    model_type = "siglip2"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": Siglip2TextConfig,
        "vision_config": Siglip2VisionConfig,
    }


SEES = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
LAYER = "Siglip2EncoderLayer"


def text(c: Siglip2TextConfig) -> spec.Stack:
    """SigLIP's."""
    return replace(siglip.text(c), layer_class=LAYER)


def image(c: Siglip2VisionConfig) -> spec.Stack:
    """As SigLIP's, over patches as they come."""
    stem = spec.GivenPatches(c.num_channels, c.patch_size, c.hidden_size, c.num_patches)
    return replace(siglip.over_patches(c, stem, stem.numbers), layer_class=LAYER)


TEXT = register(
    replace(
        siglip.TEXT,
        model_type="siglip2_text_model",
        name="Siglip2Text",
        config=Siglip2TextConfig,
        assembly=Single(text, reads=("input_ids", "attention_mask", "position_ids")),
    )
)
IMAGE = register(
    replace(
        siglip.IMAGE,
        model_type="siglip2_vision_model",
        name="Siglip2Vision",
        config=Siglip2VisionConfig,
        assembly=Single(image, spec.GivenPatches, reads=SEES, mask=SEES[1]),
    )
)
SIGLIP2 = register(
    replace(
        siglip.SIGLIP,
        model_type="siglip2",
        name="Siglip2",
        config=Siglip2Config,
        base="siglip2",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=siglip.shared,
            sees=SEES,
            needs=len(SEES),
        ),
    )
)
