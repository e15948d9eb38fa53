"""The stem of long spectra: gated convolutions that leave out every other frame, and sinusoids for places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.dropout import drop
from formers.nn.layout import Layout
from formers.nn.leaves import ComputedSinusoids
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.tree import Block, leaf, place


class Thinning(nn.Module):
    """The convolutions, each with a gate (Dauphin et al. 2017, arXiv:1612.08083)."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.GatedSubsampling) -> None:
        super().__init__()
        made = [*(s.inner for _ in s.kernels[1:]), 2 * s.width]
        read = [s.bins, *(s.inner // 2 for _ in s.kernels[1:])]
        self.conv_layers = nn.ModuleList(
            nn.Conv1d(one, two, kernel, stride=2, padding=kernel // 2)
            for one, two, kernel in zip(read, made, s.kernels, strict=True)
        )

    def forward(self, input_features: Tensor) -> Tensor:
        """[B, frames, bins] -> [B, T, E]."""
        x = input_features.transpose(1, 2)
        for layer in self.conv_layers:
            x = F.glu(layer(x), dim=1)
        return x.transpose(1, 2)


class SpectrumStem(Stem):
    """What stems of spectra of any length share: frames [B, frames, bins], of which rows are made."""

    inputs: ClassVar = {
        "input_features": "[B, frames, bins], floating: the spectrum of a sound, as long as it is.",
        "attention_mask": "[B, frames], 1 at real frames.",
    }

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and the rows that the frames make."""
        name, bins = self.spec.reads, self.spec.bins
        frames = given.get(name)
        if not isinstance(frames, Tensor) or not frames.is_floating_point():
            raise TypeError(
                f"the model reads {name} as a floating tensor [B, frames, {bins}], not "
                f"{getattr(frames, 'dtype', type(frames).__name__)}: a feature extractor makes it from sounds"
            )
        if frames.dim() != 3 or frames.shape[2] != bins or not frames.shape[1]:
            raise ValueError(f"{name} must have shape [B, frames, {bins}], not {list(frames.shape)}")
        return size(frames.shape[0]), size(self.spec.rows(frames.shape[1]))

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Which rows real frames make, [B, T]."""
        if mask is None:
            return None
        frames = None if given is None else given.get(self.spec.reads)
        if (
            not isinstance(mask, Tensor)
            or mask.dim() != 2
            or (frames is not None and mask.shape != frames.shape[:2])
        ):
            shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            name = list(self.inputs)[1]
            raise ValueError(f"{name} must have an entry for every frame, [B, frames], but has {shape}")
        rows = torch.arange(self.spec.rows(mask.shape[1]), device=mask.device)
        return rows < self.spec.rows(mask.long().sum(1))[:, None]

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: what is added is computed by the stem, or the layers."""
        return torch.arange(layout.length, device=given["input_features"].device)[None]


class GatedSubsamplingStem(SpectrumStem):
    """See `spec.GatedSubsampling`."""

    def place(self, owner: Block, names: Paths) -> None:
        """Register the convolutions and the positions."""
        s: spec.GatedSubsampling = self.spec
        want(names, "thinning", "position")
        place(owner, "thinning", str(names["thinning"]), Thinning(s))
        place(owner, "position", str(names["position"]), ComputedSinusoids(s.width, True, s.padding_idx))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, bins] -> [B, T, E]; flat rows where nobody looks."""
        s: spec.GatedSubsampling = self.spec
        frames, mask = given["input_features"], given.get("attention_mask")
        read = leaf(node, "thinning")
        x = read(frames.to(read.conv_layers[0].weight.dtype)) * s.scale
        hidden = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        if mask is not None:
            hidden = (~self.rows_mask(mask, given)).long()
        # as published: hidden rows are 1, real ones 0, and those that equal the padding id have no place
        counted = (hidden != s.padding_idx).long()
        places = counted.cumsum(1) * counted + s.padding_idx
        x = x + leaf(node, "position")(places).to(x.dtype)
        x = drop(x, s.dropout) if s.dropout and node.training else x
        return x if pass_.watched else pass_.layout.pack(x)
