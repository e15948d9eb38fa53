"""A network of windows over spectra, which are folded into pictures. See `spec.shifted_windows.Spectra`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.outputs import BaseModelOutputWithPooling
from formers.nn.nets.shifted_windows import Way, WindowEncoder, placed_node, stage_of
from formers.nn.spec.shifted_windows import Spectra, Windows
from formers.nn.tree import Block, Group, has, leaf, place, wiring


def folded(x: Tensor, s: Spectra) -> Tensor:
    """Spectra [B, n, T, bins] -> pictures [B, n, side, side], pieces of time above each other."""
    batch, count, time, bins = x.shape
    long = s.side * s.folds
    if time < long:
        x = F.interpolate(x, (long, bins), mode="bicubic", align_corners=True)
    x = x.reshape(batch, count, s.folds, long // s.folds, bins).transpose(3, 4)
    return x.reshape(batch, count, s.side, s.side)


class Fusion(Group):
    """The whole of a sound and its crops, weighed place by place and channel by channel."""

    def forward(self, whole: Tensor, crops: Tensor) -> Tensor:
        """Two maps [B, C, H, W] -> one."""
        both = whole + crops
        share: Tensor = leaf(self, "gate")(leaf(self, "near")(both) + leaf(self, "far")(both))
        return 2 * whole * share + 2 * crops * (1 - share)


class SpectrumPatches(Group):
    """Patches of pictures; of long sounds, fused with those of their crops."""

    def forward(self, x: Tensor, longer: Tensor | None = None) -> Tensor:
        """Pictures [B, n, side, side], and numbers of the sounds that were cut -> [B, H * W, C]."""
        s: Spectra = wiring(self).facts["spec"].stem
        found: Tensor = leaf(self, "patch")(x[:, :1] if s.fused else x)
        if s.fused and longer is not None and len(longer):
            crops = x[longer, 1:].flatten(0, 1)[:, None]
            crops = leaf(self, "crops")(crops).unflatten(0, (len(longer), -1))  # [b, 3, C, H, w]
            crops = crops.permute(0, 2, 3, 1, 4).flatten(3)
            crops = F.pad(crops, (0, found.shape[3] - crops.shape[3]))
            found = found.index_copy(0, longer, leaf(self, "fusion")(found[longer], crops))
        rows = found.flatten(2).transpose(1, 2)
        return leaf(self, "embedding_norm")(rows) if has(self, "embedding_norm") else rows


class SpectrumEncoder(WindowEncoder):
    """Spectra to a map over pieces of time, and its mean."""

    def forward(  # type: ignore[override]  # it reads spectra, not rows
        self, input_features: Tensor, is_longer: Tensor | None = None, way: Way | None = None
    ) -> BaseModelOutputWithPooling:
        """[B, n, T, bins] and which sounds were cut [B, 1] -> [B, C, bins', T'] and [B, C]."""
        s: Spectra = wiring(self).facts["spec"].stem
        way = way or Way(s.grid)
        x = leaf(self, "bins_norm")(input_features.transpose(1, 3)).transpose(1, 3)
        longer = None if is_longer is None else torch.where(is_longer.flatten())[0].to(x.device)
        rows = leaf(self, "final_norm")(self.through(leaf(self, "patches")(folded(x, s), longer), way))
        high, wide = way.grid
        found = rows.transpose(1, 2).reshape(rows.shape[0], -1, high, wide)
        each = high // s.folds  # bins of a piece of time
        found = found.unflatten(2, (high // each, each)).transpose(2, 3).flatten(3)
        return BaseModelOutputWithPooling(found, leaf(self, "pooler")(found.flatten(2)).flatten(1))


def _weighing(s: Spectra, whole: bool) -> nn.Sequential:
    """What makes weights of every place, or of all of them."""
    parts = (
        *((nn.AdaptiveAvgPool2d(1),) if whole else ()),
        *(nn.Conv2d(s.width, s.fused, 1), nn.BatchNorm2d(s.fused), nn.ReLU()),
        *(nn.Conv2d(s.fused, s.width, 1), nn.BatchNorm2d(s.width)),
    )
    return nn.Sequential(*parts)


def place_spectra(owner: Block, s: Windows) -> None:
    """Register the network on `owner`."""
    stem, names = s.stem, s.names
    assert isinstance(stem, Spectra)
    encoder = placed_node(owner, "encoder", names, SpectrumEncoder(), s)
    patches = placed_node(encoder, "patches", names, SpectrumPatches(), s)
    padding = tuple((size - step) // 2 for size, step in zip(stem.patch, stem.stride, strict=True))

    def convolution(channels: int, times: int) -> nn.Conv2d:
        size, step = (stem.patch[0], stem.patch[1] * times), (stem.stride[0], stem.stride[1] * times)
        return nn.Conv2d(channels, stem.width, size, step, padding)  # type: ignore[arg-type]  # two numbers

    place(patches, "patch", names["patch"], convolution(stem.channels, 1))
    if stem.normed:
        place(patches, "embedding_norm", names["embedding_norm"], nn.LayerNorm(stem.width))
    if stem.fused:
        fusion: Any = placed_node(patches, "fusion", names, Fusion(), s)
        for role, whole in (("near", False), ("far", True)):
            place(fusion, role, names[role], _weighing(stem, whole))
        place(fusion, "gate", names["gate"], nn.Sigmoid())
        place(patches, "crops", names["crops"], convolution(stem.channels, 3))
    stages = nn.ModuleList(stage_of(s, i) for i in range(len(s.depths)))
    place(encoder, "stages", names["stages"], stages)
    place(encoder, "bins_norm", names["bins_norm"], nn.BatchNorm2d(stem.bins))
    place(encoder, "final_norm", names["final_norm"], nn.LayerNorm(s.last_width))
    place(encoder, "pooler", names["pooler"], nn.AdaptiveAvgPool1d(1))
