"""LLaVA-OneVision (Li et al. 2024, arXiv:2408.03326): one picture in tiles, several, or a film."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_tiles import Films, ImageTiles
from formers.core.tiles import most_tiles
from formers.models import llava, llava_next
from formers.models.classes import base_class
from formers.models.registry import config_class, register
from formers.nn.tiling import halved

EDGES = range(384, 2305, 384)
# SigLIP's image model with 400 million parameters, less the layer whose states nobody reads
TOWER: dict[str, Any] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "patch_size": 14,
    "image_size": 384,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "vision_use_head": False,
}


class LlavaOnevisionConfig(llava_next.LlavaNextConfig):
    """Configuration of LLaVA-OneVision."""

    model_type = "llava_onevision"
    attribute_map: ClassVar[dict[str, str]] = {
        "image_token_id": "image_token_index",
        "video_token_id": "video_token_index",
    }
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": config_class, "vision_config": config_class}
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text_config": {"model_type": "qwen2"},
        "vision_config": TOWER,
    }
    image_token_index: int = 151646
    video_token_index: int = 151647
    vision_feature_select_strategy: str = "full"
    vision_feature_layer: int | list[int] = -1
    vision_aspect_ratio: str = "anyres_max_9"

    def __init__(self, **values: Any) -> None:
        if values.get("image_grid_pinpoints") is None:
            values["image_grid_pinpoints"] = [[down, across] for down in EDGES for across in EDGES]
        super().__init__(**values)


INPUTS = (
    *("input_ids", "pixel_values", "image_sizes", "pixel_values_videos", "image_sizes_videos"),
    *("attention_mask", "position_ids", "past_key_values", "inputs_embeds", "vision_feature_layer"),
    *("vision_feature_select_strategy", "vision_aspect_ratio", "batch_num_images", "use_cache"),
    "mm_encoder_outputs",
)
LLAVA_ONEVISION = register(
    replace(
        llava_next.LLAVA_NEXT,
        model_type="llava_onevision",
        name="LlavaOnevision",
        config=LlavaOnevisionConfig,
        assembly=ImageTiles(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=llava.connector,
            films=Films(lambda c: c.video_token_index, lambda c: halved, ends=True),
            most=most_tiles,
            inputs=INPUTS,
        ),
    )
)
