"""Boxes around objects, in the forms that models, files and people have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """[.., (centre x, centre y, width, height)] -> [.., (left, top, right, bottom)]."""
    import torch

    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((middle - half, middle + half), dim=-1)


def centred(boxes: Tensor) -> Tensor:
    """[.., (left, top, right, bottom)] -> [.., (centre x, centre y, width, height)]."""
    import torch

    first, last = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((first + last) / 2, last - first), dim=-1)


def area(boxes: Tensor) -> Tensor:
    """[.., (left, top, right, bottom)] -> [..]."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [.., (left, top, right, bottom)] whose shapes broadcast: [..]."""
    import torch

    least, most = torch.minimum(a, b), torch.maximum(a, b)
    shared = (least[..., 2:] - most[..., :2]).clamp(min=0).prod(-1)
    return shared / (area(a) + area(b) - shared)


def center_to_corners_format(bboxes_center: Any) -> Any:
    """`corners` of tensors, or of arrays of NumPy."""
    if not hasattr(bboxes_center, "__array_function__"):
        return corners(bboxes_center)
    import torch

    return corners(torch.from_numpy(bboxes_center)).numpy()
