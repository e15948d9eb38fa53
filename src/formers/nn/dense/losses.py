"""Losses over the places of pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.losses import cross_entropy


def semantic(logits: Tensor, labels: Tensor, ignore: int = 255) -> Tensor:
    """Mean cross entropy of every pixel, or, of one label, the mean of a binary one.

    Args:
        logits: [B, C, h, w], enlarged to the labels' size.
        labels: [B, H, W], int64; `ignore` marks pixels without a label. Of one label, 0 or 1.
        ignore: the label that is left out.

    Returns:
        Scalar.

    Raises:
        ValueError: for labels that are no maps.
    """
    if labels.dim() != 3 or len(labels) != len(logits):
        raise ValueError(f"labels are maps [{len(logits)}, height, width], not {list(labels.shape)}")
    large = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=False)
    if logits.shape[1] > 1:
        return cross_entropy(large.movedim(1, -1), labels, ignore=ignore)
    counted = (labels >= 0) & (labels != ignore)
    apart = F.binary_cross_entropy_with_logits(large[:, 0], labels.to(large.dtype), reduction="none")
    return (apart * counted).mean()


def log_depth(depths: Tensor, right: Tensor, share: float = 0.5) -> Tensor:
    """How far logarithms of depths are off, less what all are off alike (arXiv:1406.2283, section 3.2).

    Args:
        depths: [B, H, W], above 0.
        right: [B, H, W]; pixels whose depth is unknown hold 0.
        share: of the mean difference that is forgiven.

    Returns:
        Scalar.

    Raises:
        ValueError: for depths of another size.
    """
    if depths.shape != right.shape:
        raise ValueError(
            f"labels hold a depth for every pixel, {list(depths.shape)}, not {list(right.shape)}"
        )
    known = right > 0
    apart = torch.log(right[known]) - torch.log(depths[known])
    return torch.sqrt(apart.square().mean() - share * apart.mean().square())
