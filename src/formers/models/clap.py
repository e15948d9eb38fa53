"""CLAP (Wu et al. 2023, arXiv:2211.06687): two towers, so that texts and sounds can be compared."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

from formers.assemblies.family import Family
from formers.assemblies.multimodal.contrastive import Shared
from formers.assemblies.multimodal.contrastive_audio import ContrastiveAudio
from formers.configs import PretrainedConfig
from formers.models.clap_towers import READS, ClapAudioConfig, ClapTextConfig, deviation
from formers.models.classes import base_class
from formers.models.registry import register


class ClapConfig(PretrainedConfig):
    """Configuration of CLAP."""

    model_type = "clap"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": ClapTextConfig, "audio_config": ClapAudioConfig}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {"text_config": {}, "audio_config": {}}
    logit_scale_init_value: float = 1 / 0.07
    projection_dim: int = 512
    projection_hidden_act: str = "relu"
    initializer_factor: float = 1.0
    hidden_size: int = 768
    num_hidden_layers: int = 16

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        shared = {"projection_dim": self.projection_dim, "projection_hidden_act": self.projection_hidden_act}
        self.text_config.update(shared)
        self.audio_config.update(shared)
        self.hidden_size = self.text_config.hidden_size
        self.num_hidden_layers = self.text_config.num_hidden_layers + len(self.audio_config.depths)


def shared(c: ClapConfig) -> Shared:
    """The space of both."""
    return Shared(
        c.projection_dim,
        log(c.logit_scale_init_value),
        image="audio_projection",
        scale_path="logit_scale_t",
        other_scale_path="logit_scale_a",
        act=c.projection_hidden_act,
        std=deviation(c),
    )


CLAP = register(
    Family(
        model_type="clap",
        name="Clap",
        config=ClapConfig,
        base="clap",
        assembly=ContrastiveAudio(
            base_class,
            text=("text_model", "text_config"),
            image=("audio_model", "audio_config"),
            shared=shared,
            reads=READS,
            sees=("input_features", "is_longer"),
            needs=2,
        ),
        heads={},
    )
)
