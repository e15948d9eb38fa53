"""ViP-LLaVA (Cai et al. 2024, arXiv:2312.00784): LLaVA that reads states of several layers of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.configs import PretrainedConfig
from formers.models import llava
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import normed_layers


class VipLlavaConfig(PretrainedConfig):
    """Configuration of ViP-LLaVA."""

    model_type = "vipllava"
    attribute_map: ClassVar[dict[str, str]] = {
        "image_token_id": "image_token_index",
        "vision_feature_layers": "vision_feature_layer",
    }
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = llava.LlavaConfig.sub_defaults
    image_token_index: int = 32000
    projector_hidden_act: str = "gelu"
    projector_layernorm_eps: float = 1e-5
    vision_feature_layer: int | list[int] = [-2, -5, -8, -11, 6]  # noqa: RUF012  # a default, which every config copies
    image_seq_length: int = 576
    tie_word_embeddings: bool = False


def connector(c: VipLlavaConfig) -> Connector:
    """States of several layers side by side, a norm, two linear layers."""
    roles = {
        "connect_norm": "projector_layernorm",
        "connect": "linear_1",
        "connect_act": "act",
        "connect_out": "linear_2",
    }
    return Connector(
        normed_layers(spec.Norm("layer", c.projector_layernorm_eps), c.projector_hidden_act),
        paths={role: f"multi_modal_projector.{path}" for role, path in roles.items()},
        token=c.image_token_index,
        layer=c.vision_feature_layer,
        keeps="default",
    )


INPUTS = (
    *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
    *("vision_feature_layer", "use_cache", "mm_encoder_outputs"),
)
VIPLLAVA = register(
    replace(
        llava.LLAVA,
        model_type="vipllava",
        name="VipLlava",
        config=VipLlavaConfig,
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            inputs=INPUTS,
            whole=True,
        ),
    )
)
