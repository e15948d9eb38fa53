"""Any image model beside any text model, whose vectors are compared (Zhai et al. 2021, arXiv:2111.07991)."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.contrastive import Shared
from formers.assemblies.multimodal.contrastive_pair import ContrastivePair
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.registry import config_class, config_of, register


class VisionTextDualEncoderConfig(PretrainedConfig):
    """Configuration of a pair."""

    model_type = "vision-text-dual-encoder"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "bert"},
        "vision_config": {"model_type": "vit"},
    }
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592

    @classmethod
    def from_vision_text_configs(
        cls, vision_config: PretrainedConfig, text_config: PretrainedConfig, **values: Any
    ) -> VisionTextDualEncoderConfig:
        """The two configs as one."""
        return cls(vision_config=vision_config.to_dict(), text_config=text_config.to_dict(), **values)


VISION_TEXT_DUAL_ENCODER = register(
    Family(
        model_type="vision-text-dual-encoder",
        name="VisionTextDualEncoder",
        config=VisionTextDualEncoderConfig,
        base="vision_text_dual_encoder",
        assembly=ContrastivePair(
            config_of,
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=lambda c: Shared(c.projection_dim, c.logit_scale_init_value, apart=True),
        ),
        heads={"Model": Head("joined_towers", lambda c: None)},
        order=(("vision_model", "text_model", "visual_projection", "text_projection"),),
    )
)
