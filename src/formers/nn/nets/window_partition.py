"""Maps as windows, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cut(x: Tensor, side: int, filled: Tensor | None = None) -> Tensor:
    """[B, H, W, C] -> windows [B * n, side, side, C]; behind the last places stands `filled`, or zeros."""
    high, wide = x.shape[1:3]
    down, right = -high % side, -wide % side
    if down or right:
        x = F.pad(x, (0, 0, 0, right, 0, down))
    if filled is not None and (down or right):
        beyond = torch.ones(x.shape[1:3], dtype=torch.bool, device=x.device)
        beyond[:high, :wide] = False
        x = torch.where(beyond[..., None], filled, x)
    x = x.reshape(x.shape[0], x.shape[1] // side, side, x.shape[2] // side, side, -1)
    return x.transpose(2, 3).flatten(0, 2)


def joined(windows: Tensor, high: int, wide: int) -> Tensor:
    """The other way: [B * n, side, side, C] -> [B, high, wide, C]."""
    side = windows.shape[1]
    down, across = -(-high // side), -(-wide // side)
    x = windows.view(-1, down, across, side, side, windows.shape[-1]).transpose(2, 3)
    return x.reshape(x.shape[0], down * side, across * side, -1)[:, :high, :wide]
