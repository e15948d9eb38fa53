"""CLIP (Radford et al. 2021, arXiv:2103.00020): two towers, so that texts and images can be compared."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.multimodal.contrastive import DualTowers, Shared
from formers.configs import PretrainedConfig
from formers.models.classes import base_class
from formers.models.clip_towers import IGNORED, ORDER, CLIPTextConfig, CLIPVisionConfig
from formers.models.registry import register
from formers.tasks.specs import Sequences


class CLIPConfig(PretrainedConfig):
    """Configuration of CLIP."""

    model_type = "clip"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": CLIPTextConfig, "vision_config": CLIPVisionConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "vision_config": {}}
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    initializer_factor: float = 1.0

    @classmethod
    def from_text_vision_configs(cls, text_config: Any, vision_config: Any, **values: Any) -> CLIPConfig:
        """The two configs as one."""
        return cls(text_config=text_config, vision_config=vision_config, **values)


def shared(c: CLIPConfig) -> Shared:
    """The space of both."""
    widths = {"text_projection": c.text_config.hidden_size, "visual_projection": c.vision_config.hidden_size}
    init = {f"{path}.weight": width**-0.5 * c.initializer_factor for path, width in widths.items()}
    return Shared(c.projection_dim, c.logit_scale_init_value, init=init)


LABELS = Head(
    "image_classification",
    lambda c: Sequences("classifier", pool="rest"),
    base="vision_model",
    over="vision_model",
    flat=True,
)
CLIP = register(
    Family(
        model_type="clip",
        name="CLIP",
        config=CLIPConfig,
        base="clip",
        assembly=DualTowers(
            base_class,
            text=("text_model", "text_config"),
            image=("vision_model", "vision_config"),
            shared=shared,
        ),
        heads={
            "Model": Head("zero_shot_image_classification", lambda c: None),
            "ForImageClassification": LABELS,
        },
        ignored=IGNORED,
        order=ORDER,
    )
)
