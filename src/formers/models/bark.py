"""Bark (Suno 2023): speech and other sounds of a text, in stages."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.family import Family, Head
from formers.assemblies.stages import Stages
from formers.configs import PretrainedConfig
from formers.models.bark_stages import BarkCoarseConfig, BarkFineConfig, BarkSemanticConfig
from formers.models.classes import base_class, class_of
from formers.models.hubert import RENAMES
from formers.models.registry import config_class, family_of, register


class BarkConfig(PretrainedConfig):
    """Configuration of Bark."""

    model_type = "bark"
    sub_configs: ClassVar[dict[str, Any]] = {
        "semantic_config": BarkSemanticConfig,
        "coarse_acoustics_config": BarkCoarseConfig,
        "fine_acoustics_config": BarkFineConfig,
        "codec_config": config_class,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "semantic_config": {},
        "coarse_acoustics_config": {},
        "fine_acoustics_config": {},
        "codec_config": {"model_type": "encodec"},
    }
    initializer_range: float = 0.02

    @classmethod
    def from_sub_model_configs(
        cls,
        semantic_config: Any,
        coarse_acoustics_config: Any,
        fine_acoustics_config: Any,
        codec_config: Any,
        **values: Any,
    ) -> BarkConfig:
        """The four configs as one."""
        return cls(
            semantic_config=semantic_config,
            coarse_acoustics_config=coarse_acoustics_config,
            fine_acoustics_config=fine_acoustics_config,
            codec_config=codec_config,
            **values,
        )


def stage(config: Any) -> Any:
    """The class of a stage."""
    return class_of(family_of(config.model_type), "Model")


BARK = register(
    Family(
        model_type="bark",
        name="Bark",
        config=BarkConfig,
        base="",
        assembly=Stages(
            {
                "semantic": ("semantic_config", stage),
                "coarse_acoustics": ("coarse_acoustics_config", stage),
                "fine_acoustics": ("fine_acoustics_config", stage),
                "codec_model": ("codec_config", base_class),
            }
        ),
        heads={"Model": Head("staged_speech", lambda c: None)},
        renames=RENAMES,
        ignored=(r".*attn\.bias",),
    )
)
