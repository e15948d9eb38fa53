"""Pictures with crops of themselves behind them: Gemma 3's pan and scan."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last, listed

_SETTINGS = ("min_crop_size", "max_num_crops", "min_ratio_to_activate")


class ScannedImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them; with `do_pan_and_scan`, long ones in parts behind them.

    A call returns `num_crops` too, how many parts follow each picture.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "num_crops"]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        if not now["do_pan_and_scan"]:
            found, sizes = super()._pixel_values(images, now, call)
            return {**found, "num_crops": [0] * len(sizes)}, sizes
        how = [now[f"pan_and_scan_{name}"] for name in _SETTINGS]
        if None in how:
            missing = ", ".join(f"pan_and_scan_{name}" for name in _SETTINGS)
            raise ValueError(f"do_pan_and_scan needs {missing}")
        pictures, whole, counts = listed(images), list[Any](), list[int]()
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, len(pictures), call["timeout"])
            if isinstance(image, np.ndarray):
                image = channels_last(image, call["input_data_format"])
            parts = crops(image, *how)
            whole += [image, *parts]
            counts.append(len(parts))
        found, sizes = super()._pixel_values(whole, now, {**call, "input_data_format": "channels_last"})
        return {**found, "num_crops": counts}, sizes


def crops(image: Any, least: int, most: int, ratio: float) -> list[Any]:
    """A picture in equal parts along its longer side, about as many as it is longer; none for a short one.

    Args:
        image: of Pillow, or an array [H, W, C].
        least: edge of the smallest part, in pixels.
        most: number of parts.
        ratio: of both sides, from which on there are any.
    """
    array = isinstance(image, np.ndarray)
    height, width = image.shape[:2] if array else (image.height, image.width)
    long, short = max(height, width), min(height, width)
    if long / short < ratio:
        return []
    count = min(long // least, math.floor(long / short + 0.5))
    count = min(most, max(2, count))
    step = math.ceil(long / count)
    if min(step, short) < least:
        return []
    found = []
    for begin in range(0, step * count, step):
        end = min(begin + step, long)
        top, left, bottom, right = (0, begin, height, end) if width >= height else (begin, 0, end, width)
        found.append(image[top:bottom, left:right] if array else image.crop((left, top, right, bottom)))
    return found
