"""Pictures in the tiles of a canvas, whose form is told by its number, text by text: Llama 3.2 Vision."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.core.tiles import Size, covering, forms, grown_within
from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import as_pillow_or_array, channels_last
from formers.processing.recipe import BILINEAR
from formers.processing.square_tiles import pictures_of_texts


class FormImageProcessor(BaseImageProcessor):
    """Pictures at the upper left of a canvas of `max_image_tiles` squares of `size`, cut into those.

    A call takes a list of pictures for each text, and returns `pixel_values` [texts, pictures, tiles, C, H,
    W], zeros where there is none; `aspect_ratio_ids` [texts, pictures], the number of the canvas's form from
    1 on, 0 for no picture; `aspect_ratio_mask` [texts, pictures, tiles], 1 at tiles of pictures and at the
    first of none; and `num_tiles`, how many each picture of a text has.
    """

    model_input_names: ClassVar[list[str]] = [
        *("pixel_values", "num_tiles", "aspect_ratio_ids", "aspect_ratio_mask")
    ]

    def _made(self, found: dict[str, Any], tensors: Any) -> BatchFeature:
        counts = {"num_tiles": found.pop("num_tiles")}
        return BatchFeature({**BatchFeature(found, tensors), **counts})

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        edge, most = _edge(now), int(now["max_image_tiles"])
        texts, known = pictures_of_texts(images), forms(most)
        count, laid, grids = sum(map(len, texts)), list[Any](), list[list[Size]]()
        for pictures in texts:
            grids.append([])
            for one in pictures:
                image = as_pillow_or_array(one, len(laid), count, call["timeout"])
                if isinstance(image, np.ndarray):
                    image = channels_last(image, call["input_data_format"])
                canvas, grid = _laid_out(image, now, edge, most, f"picture {len(laid)} of {count}")
                laid.append(canvas)
                grids[-1].append(grid)
        plain = {**call, "input_data_format": "channels_last", "return_tensors": None, "data_format": None}
        made, sizes = super()._pixel_values(laid, {**now, "do_resize": False, "do_pad": False}, plain)
        rows = iter(made["pixel_values"])
        shape = len(texts), max(map(len, texts))
        pixels = np.zeros((*shape, most, made["pixel_values"][0].shape[0], edge, edge), np.float32)
        ids, mask = np.zeros(shape, np.int64), np.zeros((*shape, most), np.int64)
        mask[:, :, 0] = 1
        for row, each in enumerate(grids):
            for place, (down, across) in enumerate(each):
                cut = next(rows).reshape(-1, down, edge, across, edge).transpose(1, 3, 0, 2, 4)
                pixels[row, place, : down * across] = cut.reshape(-1, *pixels.shape[3:])
                ids[row, place], mask[row, place, : down * across] = known.index((down, across)) + 1, 1
        counts = [[down * across for down, across in each] for each in grids]
        found = {"pixel_values": pixels, "aspect_ratio_ids": ids, "aspect_ratio_mask": mask}
        return {**found, "num_tiles": counts}, sizes


def _edge(now: dict[str, Any]) -> int:
    """The edge of a tile.

    Raises:
        ValueError: for settings by which no tiles can be made.
    """
    size, most = now["size"], now["max_image_tiles"]
    if not now["do_resize"] or not now["do_pad"]:
        raise ValueError("pictures are brought to whole tiles: leave do_resize and do_pad as they are, True")
    if not isinstance(most, int) or most < 1:
        raise ValueError(f"max_image_tiles is a number from 1 on, not {most!r}")
    if size is None or not size.height or size.height != size.width:
        raise ValueError(f"size says height and width of a tile, which are alike, not {size}")
    return int(size.height)


def _laid_out(image: Any, now: dict[str, Any], edge: int, most: int, name: str) -> tuple[Any, Size]:
    """A picture at the upper left of its canvas, [H, W, C], and how many tiles that has down and across."""
    image = steps.to_rgb(image) if now["do_convert_rgb"] else image
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
    down, across = covering((height, width), (edge, edge), most)
    room = down * edge, across * edge
    resample = BILINEAR if now["resample"] is None else int(now["resample"])
    part = steps.resized(image, *grown_within(height, width, room, edge), resample, name)
    more = tuple((0, whole - there) for whole, there in zip(room, part.shape[:2], strict=True))
    return np.pad(part, (*more, (0, 0))), (down, across)
