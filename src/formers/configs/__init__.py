"""A model's `config.json` and `generation_config.json`, both ways. Nothing here needs torch."""

from __future__ import annotations

from formers.configs.backbone import BackboneConfig
from formers.configs.base import CONFIG_NAME, DTypeName, PreTrainedConfig, PretrainedConfig
from formers.configs.generation import GENERATION_CONFIG_NAME, GenerationConfig
from formers.core.jsonfile import read_json_object

__all__ = [
    "CONFIG_NAME",
    "GENERATION_CONFIG_NAME",
    "BackboneConfig",
    "DTypeName",
    "GenerationConfig",
    "PreTrainedConfig",
    "PretrainedConfig",
    "read_json_object",
]
