"""The stem of samples of any length: three convolutions, each of which makes ever longer steps."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.stems.waves import sounds_in
from formers.nn.tree import Block, leaf, place


class SampleStem(Stem):
    """See `spec.RawSamples`."""

    inputs: ClassVar = {
        "input_values": "[B, samples], floating: sounds, as a feature extractor prepares them.",
        "attention_mask": "[B, samples], 1 at real samples.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the convolutions and the norm."""
        s: spec.RawSamples = self.spec
        roles = [f"conv_{i}" for i in range(len(s.kernels))]
        want(names, *roles, "conv_norm")
        widths = (1, s.width, 2 * s.width, s.width)
        for i, role in enumerate(roles):
            made = nn.Conv1d(widths[i], widths[i + 1], s.kernels[i], stride=s.strides[i], bias=i > 0)
            place(owner, role, str(names[role]), made)
        place(owner, "conv_norm", str(names["conv_norm"]), nn.GroupNorm(1, s.width, eps=s.eps))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and the rows that the samples make."""
        return sounds_in(given, self.spec)

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Which rows begin at real samples, [B, T]."""
        if mask is None:
            return None
        sound = None if given is None else given.get("input_values")
        if (
            not isinstance(mask, Tensor)
            or mask.dim() != 2
            or (sound is not None and mask.shape != sound.shape)
        ):
            shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(
                f"attention_mask must have an entry for every sample, [B, samples], but has {shape}"
            )
        s: spec.RawSamples = self.spec
        return mask[:, :: prod(s.strides)][:, : s.rows(mask.shape[1])].bool()

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns."""
        return torch.arange(layout.length, device=given["input_values"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, samples] -> [B, T, E]; flat rows where nobody looks."""
        x = given["input_values"].to(leaf(node, "conv_0").weight.dtype)[:, None]
        x = leaf(node, "conv_norm")(torch.tanh(leaf(node, "conv_0")(x)))
        for i in range(1, len(self.spec.kernels)):
            x = F.gelu(leaf(node, f"conv_{i}")(x))
        x = x.transpose(1, 2)
        return x if pass_.watched else pass_.layout.pack(x)
