"""LLaVA-NeXT-Video (Zhang et al. 2024): LLaVA-NeXT that watches films, of whose patches few are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from formers.assemblies.multimodal.image_tiles import Films, ImageTiles
from formers.models import llava, llava_next
from formers.models.classes import base_class
from formers.models.registry import register
from formers.nn.connectors import GridPool


class LlavaNextVideoConfig(llava.LlavaConfig):
    """Configuration of LLaVA-NeXT-Video."""

    model_type = "llava_next_video"
    attribute_map: ClassVar[dict[str, str]] = {
        "image_token_id": "image_token_index",
        "video_token_id": "video_token_index",
    }
    image_token_index: int = 32001
    video_token_index: int = 32000
    image_grid_pinpoints: list[Any] | None = None
    spatial_pool_mode: str = "average"
    spatial_pool_stride: int = 2
    video_seq_length: int = 288

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.image_grid_pinpoints is None:
            self.image_grid_pinpoints = [list(one) for one in llava_next.SIZES]


def pool(c: LlavaNextVideoConfig) -> GridPool:
    """What makes fewer of the patches of a frame."""
    return GridPool(c.spatial_pool_mode, c.spatial_pool_stride, c.vision_config.hidden_size)


INPUTS = (
    *("input_ids", "pixel_values", "pixel_values_videos", "image_sizes", "attention_mask", "position_ids"),
    *("past_key_values", "inputs_embeds", "vision_feature_layer", "vision_feature_select_strategy"),
    *("use_cache", "mm_encoder_outputs"),
)
LLAVA_NEXT_VIDEO = register(
    replace(
        llava_next.LLAVA_NEXT,
        model_type="llava_next_video",
        name="LlavaNextVideo",
        config=LlavaNextVideoConfig,
        assembly=ImageTiles(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=llava.connector,
            films=Films(lambda c: c.video_token_index, pool=pool, home="vision_resampler", flat=True),
            inputs=INPUTS,
        ),
    )
)
