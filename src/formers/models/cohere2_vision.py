"""Command A Vision (Cohere 2025): SigLIP's patches, four to a token, in Cohere 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.configs import PretrainedConfig
from formers.models import llava
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.connectors import shuffled_gated


class Cohere2VisionConfig(PretrainedConfig):
    """Configuration of Command A Vision."""

    model_type = "cohere2_vision"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "cohere2"},
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 3072,
            "image_size": 512,
            "num_hidden_layers": 27,
            "num_attention_heads": 12,
        },
    }
    downsample_factor: int = 2
    image_token_id: int = 255036
    alignment_intermediate_size: int = 36864
    tie_word_embeddings: bool = True


def connector(c: Cohere2VisionConfig) -> Connector:
    """Squares of patches as one each, and two layers between which halves weigh each other."""
    home = "multi_modal_projector"
    roles = {"connect": "linear_1", "connect_act": "act", "connect_out": "linear_2"}
    return Connector(
        shuffled_gated(c.downsample_factor, None, c.alignment_intermediate_size, "silu"),
        paths={"connect_whole": home, **{role: f"{home}.{path}" for role, path in roles.items()}},
        token=c.image_token_id,
    )


INPUTS = (
    *("input_ids", "pixel_values", "attention_mask", "position_ids", "past_key_values", "inputs_embeds"),
    *("use_cache", "mm_encoder_outputs"),
)
COHERE2_VISION = register(
    replace(
        llava.LLAVA,
        model_type="cohere2_vision",
        name="Cohere2Vision",
        config=Cohere2VisionConfig,
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            whole=True,
            inputs=INPUTS,
        ),
        renames=(),
        ignored=(),
    )
)
