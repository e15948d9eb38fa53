"""Pictures in the tiles of a canvas of their form, and whole: InternVL."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.core.tiles import Size, canvas, covering
from formers.processing import steps
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last, listed
from formers.processing.recipe import BICUBIC


class CanvasImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them; with `crop_to_patches` in tiles, and whole behind them.

    A call returns `pixel_values` [tiles, C, H, W] of all pictures, and `num_patches`, how many each has.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        pictures = listed(images)
        if not (now["crop_to_patches"] and now["max_patches"] > 1):
            found, sizes = super()._pixel_values(images, now, call)
            return {**found, "num_patches": [1] * len(pictures)}, sizes
        size = now["size"]
        if size is None or size.height is None:
            raise ValueError(f"crop_to_patches needs a size with height and width of tiles, not {size}")
        tiles, counts = list[Any](), list[int]()
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, len(pictures), call["timeout"])
            if isinstance(image, np.ndarray):
                image = channels_last(image, call["input_data_format"])
            image = steps.to_rgb(image) if now["do_convert_rgb"] else image
            parts = _tiles(image, now, (size["height"], size["width"]), self.recipe.covering)
            tiles += parts
            counts.append(len(parts))
        plain = {**call, "input_data_format": "channels_last"}
        found, sizes = super()._pixel_values(tiles, {**now, "do_resize": False}, plain)
        return {**found, "num_patches": counts}, sizes


def _tiles(image: Any, now: dict[str, Any], tile: Size, covers: bool) -> list[Any]:
    """The tiles of a picture, and all of it as one where there are several: [H, W, C] each."""
    resample = BICUBIC if now["resample"] is None else int(now["resample"])
    edges = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
    least, most = now["min_patches"], now["max_patches"]
    down, across = covering(edges, tile, most) if covers else canvas(edges, tile, least, most)
    high, wide = tile
    whole = steps.resized(image, down * high, across * wide, resample)
    parts = [
        whole[top : top + high, left : left + wide]
        for top in range(0, down * high, high)
        for left in range(0, across * wide, wide)
    ]
    return [*parts, steps.resized(image, high, wide, resample)] if len(parts) > 1 else parts
