"""Masks of everything in a picture: points all over it, and which of a model's masks are kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from formers.processing.reading import as_pillow_or_array, channels_last
from formers.processing.sizes import rounded
from formers.processing.steps import pixels, to_rgb

if TYPE_CHECKING:
    from torch import Tensor

_NEAR = 20.0  # pixels from the edge of a crop within which a mask may be cut off
Runs = dict[
    str, Any
]  # `size` (height, width) and `counts`, lengths of runs of 0 and 1 in turn, down the columns


def crops(
    image: Any,
    target_size: int,
    crop_n_layers: int = 0,
    overlap_ratio: float = 512 / 1500,
    points_per_crop: int = 32,
    crop_n_points_downscale_factor: int = 1,
    device: Any = None,
) -> tuple[Tensor, Tensor, list[Any], Tensor]:
    """The picture and crops of it, and points all over each.

    Args:
        image: a picture.
        target_size: pixels of a crop's longest edge, as the model reads it.
        crop_n_layers: the layer i has 4^i crops.
        overlap_ratio: how much those of the first layer overlap, over the picture's shortest edge.
        points_per_crop: points down and across of the whole picture.
        crop_n_points_downscale_factor: how many times fewer each layer has.
        device: of the tensors.

    Returns:
        Boxes [crops, 4] in pixels of the picture, points [1, points, crops, 2] in those that the model reads,
        the crops, and labels [1, points, crops].
    """
    import torch

    found = as_pillow_or_array(image, 0, 1)
    whole = channels_last(found, None) if isinstance(found, np.ndarray) else pixels(to_rgb(found))
    boxes, made, points = [], [], []
    for layer in range(crop_n_layers + 1):
        side = int(points_per_crop / crop_n_points_downscale_factor**layer)
        at = (np.arange(side) + 0.5) / side
        grid = np.stack((np.tile(at, side), np.repeat(at, side)), axis=-1)
        for left, top, right, bottom in _boxes(whole.shape[0], whole.shape[1], layer, overlap_ratio):
            boxes.append([left, top, right, bottom])
            made.append(whole[top:bottom, left:right])
            points.append(grid * rounded(bottom - top, right - left, target_size)[::-1])
    if len({len(one) for one in points}) > 1:
        raise ValueError(
            "crops of one picture have as many points each: leave crop_n_points_downscale_factor at 1"
        )
    placed = torch.tensor(np.stack(points, axis=1)[None], device=device)
    labels = torch.ones(placed.shape[:3], dtype=torch.int64, device=device)
    return torch.tensor(boxes, dtype=torch.float32, device=device), placed, made, labels


def _boxes(height: int, width: int, layer: int, share: float) -> list[tuple[int, int, int, int]]:
    """The crops of a layer, (left, top, right, bottom)."""
    each = 2**layer
    overlap = int(share * min(height, width) * (2 / each)) if layer else 0
    down, across = (math.ceil((overlap * (each - 1) + edge) / each) for edge in (height, width))
    starts = itertools.product(
        ((across - overlap) * i for i in range(each)), ((down - overlap) * i for i in range(each))
    )
    return [(left, top, min(left + across, width), min(top + down, height)) for left, top in starts]


def in_pictures(
    masks: Any,
    original_sizes: Any,
    reshaped_input_sizes: Any,
    mask_threshold: float = 0.0,
    binarize: bool = True,
    pad_size: Any = None,
) -> list[Tensor]:
    """Masks as a model makes them, in the sizes of the pictures as they came.

    Args:
        masks: logits [P, M, h, w] of each picture.
        original_sizes: (height, width) of each as it came.
        reshaped_input_sizes: likewise before it was padded.
        mask_threshold: what is above belongs to the mask.
        binarize: masks are bool; else logits.
        pad_size: `height` and `width` that pictures were padded to.

    Raises:
        TypeError: for masks that are no tensors or arrays.
    """
    import torch
    from torch.nn import functional as F

    room, found = (pad_size["height"], pad_size["width"]), []
    pairs = ([(int(a), int(b)) for a, b in sizes] for sizes in (original_sizes, reshaped_input_sizes))
    for mask, size, part in zip(masks, *pairs, strict=True):
        one = torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask
        if not isinstance(one, torch.Tensor):
            raise TypeError(f"masks are a tensor or array for each picture, not {type(one).__name__}")
        one = F.interpolate(one, room, mode="bilinear", align_corners=False)[..., : part[0], : part[1]]
        one = F.interpolate(one, size, mode="bilinear", align_corners=False)
        found.append(one > mask_threshold if binarize else one)
    return found


def in_whole_pictures(
    masks: Any,
    original_sizes: Any,
    mask_threshold: float = 0.0,
    binarize: bool = True,
    max_hole_area: float = 0.0,
    max_sprinkle_area: float = 0.0,
    apply_non_overlapping_constraints: bool = False,
    reshaped_input_sizes: Any = None,
) -> list[Tensor]:
    """As `in_pictures`, of pictures that were stretched to the size that a model reads.

    Args:
        masks: logits [P, M, h, w] of each picture.
        original_sizes: (height, width) of each as it came.
        mask_threshold: what is above belongs to the mask.
        binarize: masks are bool; else logits.
        max_hole_area: without effect, as in the ecosystem.
        max_sprinkle_area: likewise.
        apply_non_overlapping_constraints: logits of all prompts but the surest are -10 at most.
        reshaped_input_sizes: without effect: pictures fill what is read.

    Raises:
        TypeError: for masks that are no tensors or arrays.
        ValueError: for another number of sizes.
    """
    import torch
    from torch.nn import functional as F

    if len(masks) != len(original_sizes):
        raise ValueError(
            f"there are masks of {len(masks)} pictures, but {len(original_sizes)} original_sizes"
        )
    found = []
    for mask, (high, wide) in zip(masks, original_sizes, strict=True):
        one = torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask
        if not isinstance(one, torch.Tensor):
            raise TypeError(f"masks are a tensor or array for each picture, not {type(one).__name__}")
        one = F.interpolate(one, (int(high), int(wide)), mode="bilinear", align_corners=False)
        if apply_non_overlapping_constraints and len(one) > 1:
            prompt = torch.arange(len(one), device=one.device)[:, None, None, None]
            one = torch.where(one.argmax(0, keepdim=True) == prompt, one, one.clamp(max=-10.0))
        found.append(one > mask_threshold if binarize else one)
    return found


def sure_ones(
    masks: Tensor,
    iou_scores: Tensor,
    original_size: Sequence[int],
    cropped_box_image: Any,
    pred_iou_thresh: float = 0.88,
    stability_score_thresh: float = 0.95,
    mask_threshold: float = 0.0,
    stability_score_offset: float = 1.0,
) -> tuple[list[Runs], Tensor, Tensor]:
    """The masks of a crop that are good, stable, and not cut off.

    Args:
        masks: logits [P, M, height, width], in the size of the crop.
        iou_scores: [P, M].
        original_size: (height, width) of the picture.
        cropped_box_image: the crop's box.
        pred_iou_thresh: least quality.
        stability_score_thresh: least share of a mask that is left where the threshold is moved up, over what
            there is where it is moved down.
        mask_threshold: logit above which a pixel belongs to a mask.
        stability_score_offset: how far the threshold is moved.

    Returns:
        Run lengths of the masks in the whole picture, their quality [N], and boxes [N, 4].

    Raises:
        ValueError: for another number of scores.
    """
    import torch
    from torch.nn import functional as F

    scores, masks = iou_scores.flatten(0, 1), masks.flatten(0, 1)
    if len(scores) != len(masks):
        raise ValueError(f"there are {len(masks)} masks, but {len(scores)} iou_scores")
    kept = torch.ones(len(masks), dtype=torch.bool, device=masks.device)
    scores = scores.to(masks.device)
    if pred_iou_thresh > 0.0:
        kept &= scores > pred_iou_thresh
    if stability_score_thresh > 0.0:
        least, most = (
            (masks > mask_threshold + far).sum((-2, -1))
            for far in (stability_score_offset, -stability_score_offset)
        )
        kept &= least / most > stability_score_thresh
    scores, masks = scores[kept], masks[kept] > mask_threshold
    boxes, (high, wide) = around(masks), (int(edge) for edge in original_size)
    crop = torch.as_tensor(cropped_box_image, dtype=torch.float32, device=masks.device)
    left, top, right, bottom = (int(edge) for edge in crop)
    at = torch.tensor([left, top, left, top], device=masks.device)
    far = (boxes + at)[:, None] - torch.stack((crop, torch.tensor([0.0, 0, wide, high], device=masks.device)))
    near = far.abs() <= _NEAR  # the crop's edges, the picture's
    whole = ~(near[:, 0] & ~near[:, 1]).any(1)
    room = (left, wide - right, top, high - bottom)
    return runs(F.pad(masks[whole], room)), scores[whole], boxes[whole] + at


def around(masks: Tensor) -> Tensor:
    """Boxes of bool masks [N, h, w]: the first and last pixels, [N, 4]; zeros of an empty one."""
    import torch

    if not masks.numel():
        return torch.zeros(len(masks), 4, dtype=torch.int64, device=masks.device)
    found = []
    for there in (masks.any(2), masks.any(1)):  # rows, columns
        at = torch.arange(there.shape[1], device=masks.device)
        found.append((torch.where(there, at, len(at)).amin(1), torch.where(there, at, -1).amax(1)))
    (top, bottom), (left, right) = found
    boxes = torch.stack((left, top, right, bottom), dim=-1)
    return boxes * (bottom >= top)[:, None]


def runs(masks: Tensor) -> list[Runs]:
    """Run lengths of bool masks [N, height, width]."""
    import torch

    height, width = masks.shape[1:]
    found = []
    for flat in masks.transpose(1, 2).flatten(1).cpu():
        ends = (flat[1:] != flat[:-1]).nonzero()[:, 0] + 1
        edges = torch.cat((torch.tensor([0]), ends, torch.tensor([len(flat)])))
        counts = edges.diff().tolist()
        found.append({"size": [height, width], "counts": [0, *counts] if bool(flat[0]) else counts})
    return found


def of_runs(one: Runs) -> Any:
    """The bool mask [height, width] of run lengths."""
    height, width = one["size"]
    flat = np.repeat(np.arange(len(one["counts"])) % 2 == 1, one["counts"])
    return flat.reshape(width, height).T


def apart(
    all_masks: Sequence[Runs], all_scores: Tensor, all_boxes: Tensor, crops_nms_thresh: float = 0.7
) -> tuple[list[Any], Tensor, list[Runs], Tensor]:
    """Of masks whose boxes are nearly the same, the best.

    Args:
        all_masks: run lengths of N masks.
        all_scores: [N].
        all_boxes: [N, 4].
        crops_nms_thresh: intersection of two boxes over their union, above which they are the same.

    Returns:
        The masks, bool [height, width] each, the best first; their scores, run lengths and boxes.
    """
    order = all_scores.argsort(descending=True, stable=True)
    kept = order[_unlike(all_boxes.float()[order], crops_nms_thresh)]
    runs_of = [all_masks[i] for i in kept.tolist()]
    return [of_runs(one) for one in runs_of], all_scores[kept], runs_of, all_boxes[kept]


def _unlike(boxes: Tensor, threshold: float) -> list[int]:
    """Places of boxes [N, 4], the best first, that overlap no better one that is kept."""
    import torch

    areas, left = (boxes[:, 2:] - boxes[:, :2]).prod(1), torch.arange(len(boxes), device=boxes.device)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        least = torch.maximum(boxes[best, :2], boxes[left, :2])
        shared = (torch.minimum(boxes[best, 2:], boxes[left, 2:]) - least).clamp(min=0).prod(1)
        left = left[~(shared / (areas[best] + areas[left] - shared) > threshold)]
    return kept
