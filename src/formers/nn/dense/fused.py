"""All maps side by side, mixed at every place. See `spec.dense.FusedMaps`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.dropout import Dropout
from formers.nn.kernels import hooked, project
from formers.nn.spec import dense
from formers.nn.tree import Block


class _Rows(Block):
    """The places of a map, projected: [B, E, H, W] -> [B, H * W, D]."""

    def __init__(self, read: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(read, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Project."""
        return project(self.proj, maps.flatten(2).transpose(1, 2), None, bool(hooked(self.proj)))


class FusedMaps(Block):
    """Maps [B, E, H, W] of any number of stages, the largest first -> [B, C, H, W]."""

    def __init__(self, s: dense.FusedMaps) -> None:
        super().__init__()
        self.linear_c = nn.ModuleList(_Rows(read, s.width) for read in s.widths)
        self.linear_fuse = nn.Conv2d(len(s.widths) * s.width, s.width, kernel_size=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(s.width)
        self.activation = nn.ReLU()
        self.dropout = Dropout(s.dropout)
        self.classifier = nn.Conv2d(s.width, s.labels, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The labels' logits, as large as the first map."""
        size = maps[0].shape[2:]
        made = [
            rows(one).transpose(1, 2).unflatten(2, one.shape[2:])
            for rows, one in zip(self.linear_c, maps, strict=True)
        ]
        x: Tensor = self.batch_norm(self._fused(made, size))
        logits: Tensor = self.classifier(self.dropout(self.activation(x)))
        return logits

    def _fused(self, made: list[Tensor], size: torch.Size) -> Tensor:
        """The maps enlarged, the last first, and mixed.

        What is linear at every place may come before what is linear between places: small maps cost little.
        """
        fuse = self.linear_fuse
        if type(fuse) is not nn.Conv2d or hooked(fuse):
            mixed: Tensor = fuse(torch.cat([_enlarged(one, size) for one in reversed(made)], dim=1))
            return mixed
        parts = fuse.weight.chunk(len(made), dim=1)
        small = [F.conv2d(one, part) for one, part in zip(reversed(made), parts, strict=True)]
        total = _enlarged(small[0], size)
        for one in small[1:]:
            total = total + _enlarged(one, size)
        return total


def _enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)
