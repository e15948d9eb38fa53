"""Pictures whole, and in crops of a canvas that they fill from the upper left: Phi-4-multimodal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from formers.core.tiles import Size, canvas
from formers.processing import steps
from formers.processing.features import BatchFeature
from formers.processing.image import BaseImageProcessor, Sizes
from formers.processing.reading import BadPicture, as_pillow_or_array, channels_last, listed
from formers.processing.recipe import BICUBIC, BILINEAR, NEAREST

_SHORTEST = 10  # pixels of what is left of a picture
_MODES = {NEAREST: "nearest", BILINEAR: "bilinear", BICUBIC: "bicubic"}


class CropsImageProcessor(BaseImageProcessor):
    """Pictures as crops of `size`, as many as fill them or `dynamic_hd` at most, and the whole before those.

    Microsoft 2025, arXiv:2503.01743, section 2.1.1. A canvas is white where the picture does not reach. A
    call returns `image_pixel_values` [pictures, 1 + crops, C, H, W], zeros where a picture has fewer crops
    than another; `image_sizes` [pictures, 2], height and width of the canvas; `image_attention_mask`
    [pictures, 1 + crops, down, across], 1 at patches that show something of it, and for crops that are not
    there; and `num_img_tokens`, how many tokens stand for each.
    """

    model_input_names: ClassVar[list[str]] = ["image_pixel_values", "image_sizes", "image_attention_mask"]

    def preprocess(self, images: Any, segmentation_maps: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures; see `BaseImageProcessor.preprocess`.

        Raises:
            ValueError: for pictures that are too long and narrow, crops that are no squares of whole patches,
                or a setting that has no effect.
        """
        if options.get("do_resize") is False:
            raise ValueError("pictures are always resized to whole crops: leave do_resize out")
        return super().preprocess(images, segmentation_maps, **options)

    def _pixel_values(
        self, images: Any, now: dict[str, Any], call: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Sizes]]:
        pictures = listed(images)
        if not pictures:
            raise ValueError("no picture was given")
        edge, across = _crop(now)
        made, masks, rooms, counts = list[Any](), list[Any](), list[Size](), list[int]()
        for place, one in enumerate(pictures):
            image = as_pillow_or_array(one, place, len(pictures), call["timeout"])
            if isinstance(image, np.ndarray):
                image = channels_last(image, call["input_data_format"])
            image = steps.to_rgb(image) if now["do_convert_rgb"] else image
            array = image if isinstance(image, np.ndarray) else steps.pixels(image)
            laid, seen = _laid_out(array, now, edge, f"picture {place} of {len(pictures)}")
            values, mask, tokens = _cut(laid, seen, now, edge, across)
            made.append(values)
            masks.append(mask)
            rooms.append((laid.shape[0], laid.shape[1]))
            counts.append(tokens)
        most = max(map(len, made))
        found = {
            "image_pixel_values": np.stack([_filled(one, most, 0) for one in made]),
            "image_sizes": np.array(rooms, np.int64),
            "image_attention_mask": np.stack([_filled(one, most, 1) for one in masks]),
            "num_img_tokens": counts,
        }
        return found, [(room, room, room) for room in rooms]


def _crop(now: Mapping[str, Any]) -> Size:
    """Pixels and patches along a side of a crop."""
    size, patch = now["size"], int(now["patch_size"])
    if size is None or size.height is None or size.height != size.width or size.height % patch:
        raise ValueError(f"crops are squares of whole patches of {patch} pixels, size is {size}")
    return int(size.height), int(size.height) // patch


def _laid_out(array: Any, now: Mapping[str, Any], edge: int, name: str) -> tuple[Any, Size]:
    """A picture [H, W, C] on a white canvas of whole crops, and how many pixels of that it fills."""
    import torch
    from torch.nn.functional import interpolate

    high, wide = array.shape[:2]
    grid = -(-high // edge), -(-wide // edge)
    if grid[0] * grid[1] > now["dynamic_hd"]:
        grid = canvas((high, wide), (edge, edge), 1, int(now["dynamic_hd"]))
    room = grid[0] * edge, grid[1] * edge
    shares = room[1] / wide, room[0] / high
    size = (int(high * shares[0]), room[1]) if shares[0] < shares[1] else (room[0], int(wide * shares[1]))
    if min(size) < _SHORTEST:
        raise BadPicture(
            f"{name} would be resized to {size[0]} x {size[1]} pixels: it is too long and narrow"
        )
    rows = torch.from_numpy(np.array(array)).permute(2, 0, 1)[None]
    if size != (high, wide):
        rows = interpolate(rows, size, mode="bilinear", antialias=True)
    white = np.full((*room, array.shape[2]), 255, array.dtype)
    white[: size[0], : size[1]] = rows[0].permute(1, 2, 0).numpy()
    return white, size


def _cut(laid: Any, seen: Size, now: Mapping[str, Any], edge: int, across: int) -> tuple[Any, Any, int]:
    """The whole of a canvas and its crops, [1 + n, C, H, W], which patches show something, and its tokens."""
    import torch
    from torch.nn.functional import interpolate

    factor = now["rescale_factor"] if now["do_rescale"] else None
    mean, std = (now["image_mean"], now["image_std"]) if now["do_normalize"] else (None, None)
    values = steps.standardised(laid[None], factor, 0.0, mean, std).astype(np.float32)  # [1, C, H, W]
    mode = _MODES.get(BICUBIC if now["resample"] is None else int(now["resample"]))
    if mode is None:
        raise ValueError(f"resample is one of {', '.join(map(str, _MODES))} for the whole of a picture")
    corners = None if mode == "nearest" else False
    whole = interpolate(torch.from_numpy(values), (edge, edge), mode=mode, align_corners=corners).numpy()
    down, wide = laid.shape[0] // edge, laid.shape[1] // edge
    parts = values.reshape(-1, down, edge, wide, edge).transpose(1, 3, 0, 2, 4)
    crops = parts.reshape(down * wide, -1, edge, edge)
    mask, patch = np.ones((down * across, wide * across), np.float32), edge // across
    bare = [(room - used) // patch for room, used in zip(laid.shape[:2], seen, strict=True)]
    mask[mask.shape[0] - bare[0] :] = 0
    mask[:, mask.shape[1] - bare[1] :] = 0
    each = mask.reshape(down, across, wide, across).transpose(0, 2, 1, 3)  # [down, wide, across, across]
    half = each[:, :, ::2, ::2]
    rows = int(half[:, 0, :, 0].sum())
    tokens = int(half.sum()) + rows + 1 + half.shape[2] * (half.shape[2] + 1)
    masks = each.reshape(-1, across, across)
    return np.concatenate((whole, crops)), np.concatenate((np.ones_like(masks[:1]), masks)), tokens


def _filled(rows: Any, count: int, value: int) -> Any:
    """Rows [n, ..] with others of that value behind, [count, ..]."""
    behind = ((0, count - len(rows)), *((0, 0),) * (rows.ndim - 1))
    return np.pad(rows, behind, constant_values=value)
