"""The stem of spectra read in steps: convolutions over time and bins, and a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.dropout import drop
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.subsampled_spectra import SpectrumStem
from formers.nn.tree import Block, leaf, place


class Striding(nn.Module):
    """The convolutions and the linear layer; behind a sound there is nothing but zeros."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.StridedSpectra) -> None:
        super().__init__()
        self.spec = s
        reach = s.kernel, s.stride, (s.kernel - 1) // 2
        layers: list[nn.Module] = [nn.Conv2d(1, s.channels, *reach), nn.ReLU()]
        for _ in range(s.count - 1):
            layers.append(nn.Conv2d(s.channels, s.channels, *reach, groups=s.channels))
            layers += [nn.Conv2d(s.channels, s.channels, 1), nn.ReLU()]
        self.layers = nn.ModuleList(layers)
        self.linear = nn.Linear(s.channels * (s.bins // s.stride**s.count), s.width)

    def forward(self, input_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, frames, bins], and which frames are real [B, frames] -> [B, T, E]."""
        x = input_features[:, None]  # [B, 1, frames, bins]
        counts = None if attention_mask is None else attention_mask.long().sum(1)  # [B]
        for layer in self.layers:
            x = layer(x)
            if counts is None or not isinstance(layer, nn.Conv2d):
                continue
            counts = counts if layer.stride == (1, 1) else self.spec.fewer(counts)
            real = torch.arange(x.shape[2], device=x.device) < counts[:, None]
            x = x * real[:, None, :, None]
        found: Tensor = self.linear(x.transpose(1, 2).flatten(2))
        return found


class StridedStem(SpectrumStem):
    """See `spec.StridedSpectra`."""

    reads_mask = True

    def place(self, owner: Block, names: Paths) -> None:
        """Register the module."""
        want(names, "strided")
        place(owner, "strided", str(names["strided"]), Striding(self.spec))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, bins] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.StridedSpectra = self.spec
        read = leaf(node, "strided")
        frames = given["input_features"].to(next(read.parameters()).dtype)
        x = read(frames, given.get("attention_mask")) * s.scale
        x = drop(x, s.dropout) if s.dropout and node.training else x
        return x if pass_.watched else pass_.layout.pack(x)
