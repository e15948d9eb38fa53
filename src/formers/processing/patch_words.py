"""Pictures beside what says the words of their patches, and which patches are hidden: FLAVA."""

from __future__ import annotations

import math
import random
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes

_EDGE = 0.1  # pixels keep away from 0 and 1 by so much (Ramesh et al. 2021, arXiv:2102.12092, appendix A.3)
_TRIES = 10


class PatchWordsImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, and with `return_codebook_pixels` a second time.

    `codebook_pixel_values` follow from the settings that begin with `codebook_`. With `return_image_mask`,
    `bool_masked_pos` [B, down, across] says which patches are hidden: boxes by lot (Python's `random`), of
    `mask_group_min_patches` patches at least, until `total_mask_patches` of the `input_size_patches` in each
    direction are (Bao et al. 2021, arXiv:2106.08254, algorithm 1).
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def _prepared(self, images: Any, beside: Any, options: dict[str, Any]) -> BatchFeature:
        if beside is not None:
            raise TypeError(f"{type(self).__name__} takes no segmentation_maps")
        return super()._prepared(images, beside, options)

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        made, sizes = super()._pixel_values(images, now, call)
        if now["return_codebook_pixels"]:
            start = "codebook_"
            own = {name.removeprefix(start): value for name, value in now.items() if name.startswith(start)}
            words = super()._pixel_values(images, {**now, **own}, call)[0]["pixel_values"]
            if now["codebook_do_map_pixels"]:
                words = [(1 - 2 * _EDGE) * one + np.float32(_EDGE) for one in words]
            made["codebook_pixel_values"] = list(words)
        if now["return_image_mask"]:
            made["bool_masked_pos"] = [_hidden(now) for _ in sizes]
        return made, sizes


def _hidden(now: dict[str, Any]) -> NDArray[np.int32]:
    """Which patches of one picture are hidden, 1 or 0, [down, across]."""
    edges = now["input_size_patches"]
    down, across = (edges, edges) if isinstance(edges, int) else edges
    total, least = now["total_mask_patches"], now["mask_group_min_patches"]
    narrow, wide = now["mask_group_min_aspect_ratio"], now["mask_group_max_aspect_ratio"]
    forms = math.log(narrow), math.log(wide or 1 / narrow)
    mask = np.zeros((down, across), np.int32)
    while (left := total - int(mask.sum())) > 0:
        most = left if now["mask_group_max_patches"] is None else min(left, now["mask_group_max_patches"])
        if not _add_box(mask, (least, most), forms):
            break
    return mask


def _add_box(mask: NDArray[np.int32], sizes: tuple[int, int], forms: tuple[float, float]) -> bool:
    """Hide one more box, which hides as many new patches as may be; whether one was found."""
    down, across = mask.shape
    for _ in range(_TRIES):
        area = random.uniform(*sizes)
        form = math.exp(random.uniform(*forms))
        height, width = round(math.sqrt(area * form)), round(math.sqrt(area / form))
        if width >= across or height >= down:
            continue
        top, left = random.randint(0, down - height), random.randint(0, across - width)
        box = mask[top : top + height, left : left + width]
        if 0 < box.size - int(box.sum()) <= sizes[1]:
            box[:] = 1
            return True
    return False
