"""The stem of spectrograms: patches of bins and frames, which overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.stems.patches import PatchNode, PatchStem, project_patches


class SpectrogramNode(PatchNode):
    """The node that cuts a spectrogram into patches: [B, frames, bins] -> [B, patches, E]."""

    def forward(self, input_values: Tensor) -> Tensor:  # type: ignore[override]  # what it reads
        """Project every patch."""
        return project_patches(self, input_values.transpose(1, 2)[:, None])


class SpectrogramStem(PatchStem):
    """See `spec.Spectrograms`."""

    node = SpectrogramNode
    inputs: ClassVar = {"input_values": "[B, frames, bins], floating, as a feature extractor makes it."}

    def _projection(self) -> nn.Module:
        s = self.spec
        return nn.Conv2d(s.channels, s.width, s.patch, stride=s.strides, bias=s.bias)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many tokens and patches there are.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for another shape.
        """
        s, heard = self.spec, given.get("input_values")
        bins, frames = s.image
        if not isinstance(heard, Tensor):
            raise TypeError(
                f"the model reads input_values as a tensor [B, frames, bins], not {type(heard).__name__}: a "
                "feature extractor makes it from sounds"
            )
        if heard.dim() != 3 or tuple(heard.shape[1:]) != (frames, bins):
            raise ValueError(f"input_values must have shape [B, {frames}, {bins}], not {list(heard.shape)}")
        return size(heard.shape[0]), size(s.count + s.before)

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: the table is added here, not looked up."""
        return torch.arange(layout.length, device=given["input_values"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, frames, bins] -> [B, T, E]; flat rows where nobody looks."""
        return super().run(node, {"pixel_values": given["input_values"].transpose(1, 2)[:, None]}, pass_)

    def _patches(self, node: Any, images: Tensor, pass_: Pass) -> Tensor:
        return super()._patches(node, images[:, 0].transpose(1, 2) if pass_.watched else images, pass_)
