"""Pictures in squares of one size or in quarters, text by text: Idefics 3 and 2."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last, listed
from formers.processing.sizes import SizeDict

_GRIDS = "return_row_col_info"
_MOST = 4096  # pixels of an edge


class SquareImageProcessor(BaseImageProcessor):
    """Pictures in squares of `max_image_size`, and whole as one more; without `do_image_splitting` so alone.

    Or in quarters and whole, each resized by itself.

    A call takes a list of pictures for each text, and returns `pixel_values` [texts, squares, C, H, W],
    zeros behind what a text shows, and `pixel_attention_mask` [texts, squares, H, W], 1 where there is a
    picture; with `return_row_col_info` how many squares each has down and across, `rows` and `cols`.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_attention_mask"]

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings, and of what a call may ask for."""
        return {*super().known_settings(), _GRIDS}

    def __init__(self, **settings: Any) -> None:
        settings.pop(_GRIDS, None)  # of a call
        super().__init__(**settings)

    def _prepared(self, images: Any, beside: Any, options: dict[str, Any]) -> BatchFeature:
        grids = options.pop(_GRIDS, False)
        found = super()._prepared(images, beside, options)
        told = {name: found.pop(name) for name in ("rows", "cols")}
        return BatchFeature({**found, **told}) if grids else found

    def _made(self, found: dict[str, Any], tensors: Any) -> BatchFeature:
        told = {name: found.pop(name) for name in ("rows", "cols")}
        return BatchFeature({**BatchFeature(found, tensors), **told})

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        texts = pictures_of_texts(images)
        count = sum(map(len, texts))
        squares, each, rows, cols = list[Any](), list[int](), list[list[int]](), list[list[int]]()
        for pictures in texts:
            grids, before = list[tuple[int, int]](), len(squares)
            for one in pictures:
                image = as_pillow_or_array(one, len(squares), count, call["timeout"])
                if isinstance(image, np.ndarray):
                    image = channels_last(image, call["input_data_format"])
                parts, grid = quarters_of(image, now) if self.recipe.quarters else squares_of(image, now)
                squares += parts
                grids.append(grid)
            each.append(len(squares) - before)
            rows.append([down for down, _ in grids])
            cols.append([across for _, across in grids])
        plain = {**call, "input_data_format": "channels_last", "return_tensors": None}
        still = {**now, "do_resize": False, "do_pad": False}
        made, sizes = super()._pixel_values(squares, still, plain)
        found = made["pixel_values"]
        told = {"rows": rows, "cols": cols}
        if not now["do_pad"]:
            ends = np.cumsum(each)
            by_text = [found[end - count : end] for end, count in zip(ends, each, strict=True)]
            return {"pixel_values": by_text, **told}, sizes
        height, width = np.max([one.shape[1:] for one in found], axis=0)
        stacked, mask = steps.padded(found, int(height), int(width))
        pixels = np.zeros((len(texts), max(each), *stacked.shape[1:]), stacked.dtype)
        masks = np.zeros((len(texts), max(each), *mask.shape[1:]), mask.dtype)
        end = 0
        for row, count in enumerate(each):
            pixels[row, :count], masks[row, :count] = stacked[end : end + count], mask[end : end + count]
            end += count
        return {"pixel_values": list(pixels), "pixel_attention_mask": list(masks), **told}, sizes


def pictures_of_texts(images: Any) -> list[list[Any]]:
    """The pictures of each text; a plain list is of one."""
    if isinstance(images, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in images):
        found = [listed(one) for one in images]
    else:
        found = [listed(images)]
    if not any(found):
        raise ValueError("no picture was given")
    return found


def squares_of(image: Any, now: dict[str, Any]) -> tuple[list[Any], tuple[int, int]]:
    """What a picture is read as, [H, W, C] each, and how many squares it has down and across."""
    resample = int(now["resample"])
    edge = int(now["max_image_size"]["longest_edge"])
    image = steps.to_rgb(image) if now["do_convert_rgb"] else image
    if now["do_resize"]:
        image = steps.resized(image, *_by_longest(*_edges(image), now["size"]), resample)
    elif not isinstance(image, np.ndarray):
        image = steps.pixels(image)
    if not now["do_image_splitting"]:
        return [steps.resized(image, edge, edge, resample)], (0, 0)
    image = steps.resized(image, *_in_squares(*_edges(image), edge), resample)
    down, across = image.shape[0] // edge, image.shape[1] // edge
    if down * across == 1:
        return [image], (0, 0)
    parts = [
        image[top : top + edge, left : left + edge]
        for top in range(0, down * edge, edge)
        for left in range(0, across * edge, edge)
    ]
    return [*parts, steps.resized(image, edge, edge, resample)], (down, across)


def quarters_of(image: Any, now: dict[str, Any]) -> tuple[list[Any], tuple[int, int]]:
    """What a picture is read as, [H, W, C] each, and how many parts it has down and across, less itself."""
    image = steps.to_rgb(image) if now["do_convert_rgb"] else image
    parts, grid = [image], (0, 0)
    if now["do_image_splitting"]:
        whole = image if isinstance(image, np.ndarray) else steps.pixels(image)
        down, across = whole.shape[0] // 2, whole.shape[1] // 2
        rows = (whole[:down], whole[down:])
        quarters = [part for row in rows for part in (row[:, :across], row[:, across:])]
        parts, grid = [*quarters, image], (2, 2)
    if now["do_resize"]:
        resample = int(now["resample"])
        parts = [steps.resized(one, *_within(*_edges(one), now["size"]), resample) for one in parts]
    return [one if isinstance(one, np.ndarray) else steps.pixels(one) for one in parts], grid


def _within(height: int, width: int, size: SizeDict | None) -> tuple[int, int]:
    """The longest edge at most, and the shortest at least, as `size` says; or both as it says.

    Raises:
        ValueError: where it says neither.
    """
    if size is not None and size.height is not None:
        return size["height"], size["width"]
    if size is None or size.longest_edge is None or size.shortest_edge is None:
        raise ValueError(f"size says shortest_edge and longest_edge, or height and width, not {size}")
    form, longest = width / height, size.longest_edge
    if width >= height and width > longest:
        height, width = int(longest / form), longest
    elif height > width and height > longest:
        height, width = longest, int(longest * form)
    return max(height, size.shortest_edge), max(width, size.shortest_edge)


def _edges(image: Any) -> tuple[int, int]:
    return image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)


def _by_longest(height: int, width: int, size: SizeDict | None) -> tuple[int, int]:
    """The longest edge as `size` says, the other even, and none above a bound; or both as it says.

    Raises:
        ValueError: where it says neither.
    """
    if size is not None and size.height is not None:
        return size["height"], size["width"]
    if size is None or size.longest_edge is None:
        raise ValueError(f"size says the longest_edge, or height and width, not {size}")
    form, longest = width / height, size.longest_edge
    if width >= height:
        down = int(longest / form)
        height, width = down + down % 2, longest
    else:
        across = int(longest * form)
        height, width = longest, across + across % 2
    height, width = max(height, 1), max(width, 1)
    form = width / height
    if width >= height and width > _MOST:
        height, width = int(_MOST / form), _MOST
    elif height > width and height > _MOST:
        height, width = _MOST, int(_MOST * form)
    return max(height, 1), max(width, 1)


def _in_squares(height: int, width: int, edge: int) -> tuple[int, int]:
    """Whole squares: of the longer side the next, of the other what follows from the picture's form."""
    form = width / height
    if width >= height:
        width = math.ceil(width / edge) * edge
        return math.ceil(int(width / form) / edge) * edge, width
    height = math.ceil(height / edge) * edge
    return height, math.ceil(int(height * form) / edge) * edge
