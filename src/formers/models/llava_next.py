"""LLaVA-NeXT (Liu et al. 2024): LLaVA for pictures of any form, which are read whole and in tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.multimodal.image_tiles import ImageTiles
from formers.checkpoints import Rename
from formers.models import llava
from formers.models.classes import base_class
from formers.models.registry import register

SIZES = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


class LlavaNextConfig(llava.LlavaConfig):
    """Configuration of LLaVA-NeXT."""

    model_type = "llava_next"
    image_grid_pinpoints: list[Any] | None = None

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.tie_word_embeddings = bool(values.get("tie_word_embeddings", False))  # said here alone
        if self.image_grid_pinpoints is None:
            self.image_grid_pinpoints = [list(one) for one in SIZES]


FILES = (*llava.FILES, Rename("image_newline", "model.image_newline", written=True))
LLAVA_NEXT = register(
    replace(
        llava.LLAVA,
        model_type="llava_next",
        name="LlavaNext",
        config=LlavaNextConfig,
        assembly=ImageTiles(
            base_class,
            text=("language_model", "text_config"),
            image=("vision_tower", "vision_config"),
            connector=llava.connector,
        ),
        renames=FILES,
    )
)
