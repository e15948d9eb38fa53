"""SmolVLM (Marafioti et al. 2025, arXiv:2504.05299): Idefics 3, small, and for films too."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.models import idefics3
from formers.models.registry import config_class, register


class SmolVLMVisionConfig(idefics3.Idefics3VisionConfig):
    """Configuration of SmolVLM's image model."""

    model_type = "smolvlm_vision"


class SmolVLMConfig(idefics3.Idefics3Config):
    """Configuration of SmolVLM."""

    model_type = "smolvlm"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": config_class,
        "vision_config": SmolVLMVisionConfig,
    }


IMAGE = register(idefics3.image_family("smolvlm_vision", "SmolVLM", SmolVLMVisionConfig))
SMOLVLM = register(idefics3.family("smolvlm", "SmolVLM", SmolVLMConfig, films=True))
