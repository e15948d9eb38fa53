"""Boxes around objects, in the forms that models, files and people have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """[.., (centre x, centre y, width, height)] -> [.., (left, top, right, bottom)]."""
    import torch

    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((middle - half, middle + half), dim=-1)
