"""Pictures of any size as patches that lie end to end, block by block."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes

_PIXELS = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}


class GridImageProcessor(BaseImageProcessor):
    """Pictures of whole blocks of patches, as many pixels as `size` allows (arXiv:2409.12191, section 2.1).

    `size` says the fewest pixels as `shortest_edge` and the most as `longest_edge`; `min_pixels` and
    `max_pixels` are their older names. A call returns `pixel_values` [N, numbers of a patch], float32, the
    patches of all pictures, and `image_grid_thw` [pictures, 3], int64, how many each has.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "image_grid_thw"]
    size: dict[str, int]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_with_pixels(settings, dict(self.recipe.settings["size"])))

    @classmethod
    def known_settings(cls) -> set[str]:
        """Names of settings, today's and older ones."""
        return {*super().known_settings(), *_PIXELS}

    def _prepared(self, images: Any, beside: Any, options: dict[str, Any]) -> BatchFeature:
        return super()._prepared(images, beside, _with_pixels(options, dict(self.size)))

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        if now["temporal_patch_size"] < 1 or now["patch_size"] < 1 or now["merge_size"] < 1:
            raise ValueError("patch_size, temporal_patch_size and merge_size are whole numbers from 1 on")
        found, sizes = super()._pixel_values(
            images, {**now, "do_pad": False}, {**call, "return_tensors": None}
        )
        rows, grids = [], []
        for one in found["pixel_values"]:
            frames = np.repeat(one[None], now["temporal_patch_size"], axis=0)
            cut, grid = in_blocks(frames, now["patch_size"], now["temporal_patch_size"], now["merge_size"])
            rows.append(cut)
            grids.append(grid)
        return {"pixel_values": np.concatenate(rows), "image_grid_thw": np.array(grids)}, sizes


def in_blocks(frames: Any, edge: int, depth: int, merge: int) -> tuple[Any, tuple[int, int, int]]:
    """Frames [T, C, H, W] as patches, the blocks of `merge` x `merge` together: [N, C * depth * edge^2].

    The last frame stands again where `depth` frames make no whole patch.

    Raises:
        ValueError: for frames that are no whole blocks.
    """
    if short := -len(frames) % depth:
        frames = np.concatenate((frames, np.repeat(frames[-1:], short, axis=0)))
    count, channels, height, width = frames.shape
    block = edge * merge
    if height % block or width % block or not height * width:
        raise ValueError(
            f"a picture of {width} x {height} pixels is no whole blocks of {block}: leave do_resize on"
        )
    grid = count // depth, height // edge, width // edge
    cut = frames.reshape(
        grid[0], depth, channels, grid[1] // merge, merge, edge, grid[2] // merge, merge, edge
    )
    rows = cut.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(grid[0] * grid[1] * grid[2], -1)
    return rows, grid


def _with_pixels(settings: dict[str, Any], size: dict[str, int]) -> dict[str, Any]:
    """Settings in which `size` says what older names say too."""
    settings = dict(settings)
    told = {edge: settings.pop(name, None) for name, edge in _PIXELS.items()}
    told = {edge: value for edge, value in told.items() if value is not None}
    if told:
        settings["size"] = {**size, **dict(settings.get("size") or {}), **told}
    return settings
