"""Maps weighed against what the smaller ones became, and depths. See `spec.dense.SelectiveMaps`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.spec import dense
from formers.nn.tree import Block


def _convolved(read: int, made: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(read, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU())


class _Selection(Block):
    """Two maps [B, E, H, W], each weighed at every place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutional_layer1 = _convolved(2 * width, width)
        self.convolutional_layer2 = _convolved(width, width // 2)
        self.convolutional_layer3 = nn.Conv2d(width // 2, 2, 3, padding=1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, near: Tensor, far: Tensor) -> Tensor:
        """Their weighed sum."""
        x = self.convolutional_layer2(self.convolutional_layer1(torch.cat((near, far), dim=1)))
        weights: Tensor = self.sigmoid(self.convolutional_layer3(x))  # [B, 2, H, W]
        return near * weights[:, :1] + far * weights[:, 1:]


class _Larger(Block):
    """A map at the decoder's width, beside what the smaller ones became, twice as large."""

    def __init__(self, read: int, width: int, first: bool) -> None:
        super().__init__()
        self.convolution = nn.Identity() if read == width else nn.Conv2d(read, width, kernel_size=1)
        self.fusion = None if first else _Selection(width)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, maps: Tensor, far: Tensor | None = None) -> Tensor:
        """[B, E, H, W] -> [B, width, 2 H, 2 W]."""
        x: Any = self.convolution(maps)
        if self.fusion is not None and far is not None:
            x = self.fusion(x, far)
        made: Tensor = self.upsample(x)
        return made


class SelectiveMaps(Block):
    """Maps [B, E, H, W] of the stages, the largest first, each twice as large as the next."""

    def __init__(self, s: dense.SelectiveMaps) -> None:
        super().__init__()
        read = s.widths[::-1]
        self.stages = nn.ModuleList(_Larger(width, s.width, not i) for i, width in enumerate(read))
        self.final_upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the maps became, the smallest first; the last one is twice as large again."""
        x: Tensor | None = None
        made: list[Tensor] = []
        for stage, one in zip(self.stages, reversed(maps), strict=True):
            x = stage(one, x)
            made += [x]
        return (*made[:-1], self.final_upsample(made[-1]))


class BoundedDepth(Block):
    """Of maps [B, E, H, W], depths [B, H, W]."""

    def __init__(self, s: dense.BoundedDepth) -> None:
        super().__init__()
        inner = nn.Conv2d(s.width, s.width, 3, padding=1)
        self.head = nn.Sequential(inner, nn.ReLU(), nn.Conv2d(s.width, 1, 3, padding=1))
        self._most, self._read = s.most, s.read

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Depths between 0 and the most."""
        return torch.sigmoid(self.head(maps[self._read]))[:, 0] * self._most
