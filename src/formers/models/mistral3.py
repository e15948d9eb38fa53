"""Mistral 3 (Mistral AI 2025): Pixtral's patches, four to a token, in Mistral."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_text import Connector
from formers.assemblies.multimodal.native_resolution import NativeResolution
from formers.configs import PretrainedConfig
from formers.models import llava
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import merged


class Mistral3Config(PretrainedConfig):
    """Configuration of Mistral 3."""

    model_type = "mistral3"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {
            "model_type": "mistral",
            "attention_dropout": 0.0,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 5120,
            "initializer_range": 0.02,
            "intermediate_size": 32768,
            "max_position_embeddings": 131072,
            "num_attention_heads": 32,
            "num_hidden_layers": 40,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_theta": 1000000000.0,
            "sliding_window": None,
            "use_cache": True,
            "vocab_size": 131072,
        },
        "vision_config": {
            "model_type": "pixtral",
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 1540,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 32000,
            "head_dim": 64,
            "hidden_act": "gelu",
        },
    }
    image_token_index: int = 10
    projector_hidden_act: str = "gelu"
    vision_feature_layer: int | list[int] = -1
    multimodal_projector_bias: bool = False
    spatial_merge_size: int = 2
    tie_word_embeddings: bool = True


def connector(c: Mistral3Config) -> Connector:
    """A norm, squares of patches as one each, two layers."""
    roles = {
        "connect_norm": "norm",
        "connect_merge": "patch_merger.merging_layer",
        "connect": "linear_1",
        "connect_act": "act",
        "connect_out": "linear_2",
    }
    norm = spec.Norm("rms", c.text_config.rms_norm_eps)
    return Connector(
        merged(c.spatial_merge_size, norm, c.projector_hidden_act, c.multimodal_projector_bias),
        paths={role: f"multi_modal_projector.{path}" for role, path in roles.items()},
        token=c.image_token_index,
        layer=c.vision_feature_layer,
        flat=True,
    )


INPUTS = (
    *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
    *("vision_feature_layer", "use_cache", "image_sizes", "mm_encoder_outputs"),
)
MISTRAL3 = register(
    replace(
        llava.LLAVA,
        model_type="mistral3",
        name="Mistral3",
        config=Mistral3Config,
        assembly=NativeResolution(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            merge=lambda c: c.spatial_merge_size,
            always=True,
            inputs=INPUTS,
        ),
    )
)
