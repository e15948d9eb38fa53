"""Aya Vision (Dash et al. 2025, arXiv:2505.08751): SigLIP's patches, four to a token, in Cohere 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_text import Connector, ImageText
from formers.configs import PretrainedConfig
from formers.models import llava, llava_onevision
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn import spec
from formers.nn.connectors import shuffled_gated


class AyaVisionConfig(PretrainedConfig):
    """Configuration of Aya Vision."""

    model_type = "aya_vision"
    attribute_map: ClassVar[dict[str, str]] = {"image_token_id": "image_token_index"}
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "cohere2"},
        "vision_config": llava_onevision.TOWER,  # the reference says 14 heads, which do not divide its width
    }
    _available: ClassVar[dict[str, tuple[Any, ...]]] = {"vision_feature_select_strategy": ImageText.chosen}
    vision_feature_select_strategy: str = "full"
    vision_feature_layer: int | list[int] = -1
    downsample_factor: int = 2
    adapter_layer_norm_eps: float = 1e-6
    image_token_index: int = 255036
    tie_word_embeddings: bool = True


def connector(c: AyaVisionConfig) -> Connector:
    """Squares of patches as one each, a norm, and two layers between which halves weigh each other."""
    inner = getattr(c, "alignment_intermediate_size", c.text_config.hidden_size)  # which few files say
    roles = {
        "connect_norm": "layernorm",
        "connect": "linear_1",
        "connect_act": "act",
        "connect_out": "linear_2",
    }
    home = "multi_modal_projector"
    return Connector(
        shuffled_gated(c.downsample_factor, spec.Norm("layer", c.adapter_layer_norm_eps), inner, "silu"),
        paths={"connect_whole": home, **{role: f"{home}.{path}" for role, path in roles.items()}},
        token=c.image_token_index,
        layer=c.vision_feature_layer,
        keeps=c.vision_feature_select_strategy,
    )


AYA_VISION = register(
    replace(
        llava.LLAVA,
        model_type="aya_vision",
        name="AyaVision",
        config=AyaVisionConfig,
        assembly=ImageText(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=connector,
            whole=True,
        ),
    )
)
