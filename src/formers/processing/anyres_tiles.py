"""Pictures of any form whole, and in tiles of one of several sizes: LLaVA-NeXT."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.core.tiles import best_size, within
from formers.processing import steps
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last, listed
from formers.processing.recipe import BICUBIC
from formers.processing.sizes import SizeDict


class PinnedImageProcessor(BaseImageProcessor):
    """Pictures as `BaseImageProcessor` prepares them, each whole and in tiles behind that.

    A call returns `pixel_values` [pictures, tiles, C, H, W], zeros where a picture has fewer tiles than
    another, and `image_sizes` [pictures, 2], heights and widths before; `batch_num_images` where several
    pictures of one text are not cut.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "image_sizes"]

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        pictures, counts = listed(images), _counts(images)
        cut = [count == 1 for count in counts for _ in range(count)]
        tiles, each, sizes = list[Any](), list[int](), list[tuple[int, int]]()
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, len(pictures), call["timeout"])
            if isinstance(image, np.ndarray):
                image = channels_last(image, call["input_data_format"])
            image = steps.to_rgb(image) if now["do_convert_rgb"] else image
            name = f"picture {place} of {len(pictures)}"
            whole = self.recipe.pinned == "always" or cut[place]
            parts = _tiles(image, now, name) if whole else [_squared(image, now)]
            height, width = (image.height, image.width) if hasattr(image, "getbands") else image.shape[:2]
            sizes.append((height, width))
            tiles += parts
            each.append(len(parts))
        plain = {**call, "input_data_format": "channels_last", "return_tensors": None}
        made, edges = super()._pixel_values(tiles, {**now, "do_pad": False}, plain)
        rows, found = iter(made["pixel_values"]), list[Any]()
        for count in each:
            found.append(np.stack([next(rows) for _ in range(count)]))
        if now["do_pad"]:
            most = max(each)
            found = [np.pad(one, ((0, most - len(one)), *((0, 0),) * 3)) for one in found]
        beside = {"batch_num_images": counts} if self.recipe.pinned == "alone" else {}
        return {"pixel_values": found, "image_sizes": sizes, **beside}, edges


def _counts(images: Any) -> list[int]:
    """How many pictures the text of each has."""
    if isinstance(images, (list, tuple)) and images and isinstance(images[0], (list, tuple)):
        return [len(one) for one in images if len(one)]
    return [1] * len(listed(images))


def _tiles(image: Any, now: dict[str, Any], name: str) -> list[Any]:
    """A picture whole, and the tiles of it in the middle of the size that fits best: [H, W, C] each."""
    size: SizeDict | None = now["size"]
    if size is None or not now["image_grid_pinpoints"]:
        raise ValueError("pictures are cut by size and image_grid_pinpoints: name both")
    short = int(size.shortest_edge or min(size.height or 0, size.width or 0))
    edge = int((now["crop_size"] or {}).get("height") or size.height or short)
    height, width = (image.height, image.width) if hasattr(image, "getbands") else image.shape[:2]
    resample = BICUBIC if now["resample"] is None else int(now["resample"])
    room = best_size(height, width, now["image_grid_pinpoints"])
    part = steps.resized(image, *within(height, width, room), resample, name)
    above, left = (room[0] - part.shape[0]) // 2, (room[1] - part.shape[1]) // 2
    below, right = room[0] - part.shape[0] - above, room[1] - part.shape[1] - left
    laid = np.pad(part, ((above, below), (left, right), (0, 0)))
    tiles = [
        laid[top : top + edge, start : start + edge]
        for top in range(0, room[0], edge)
        for start in range(0, room[1], edge)
    ]
    return [steps.resized(image, size.height or short, size.width or short, resample, name), *tiles]


def _squared(image: Any, now: dict[str, Any]) -> Any:
    """A picture in the middle of a square of the colour that stands for nothing."""
    array = image if isinstance(image, np.ndarray) else steps.pixels(image)
    height, width = array.shape[:2]
    edge = max(height, width)
    room = np.empty((edge, edge, array.shape[2]), array.dtype)
    room[...] = [int(share * 255) for share in now["image_mean"]]
    top, left = (edge - height) // 2, (edge - width) // 2
    room[top : top + height, left : left + width] = array
    return room
