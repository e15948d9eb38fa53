"""The stem of a stage over maps: patches that overlap. See `spec.Overlapping`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from formers.nn.leaves import norm
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, maps_in, want
from formers.nn.tree import Block, leaf, place


class OverlappingStem(Stem):
    """See `spec.Overlapping`."""

    inputs: ClassVar = {"pixel_values": "[B, channels, height, width], floating, of any height and width."}

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection and its norm."""
        s = self.spec
        want(names, "patch", "embedding_norm")
        made = nn.Conv2d(s.channels, s.width, s.patch, stride=s.stride, padding=s.patch // 2)
        place(owner, "patch", str(names["patch"]), made)
        place(owner, "embedding_norm", str(names["embedding_norm"]), norm(s.norm, s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and the patches.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for a map of another kind.
        """
        maps = maps_in(given, self.spec.channels)
        down, across = self.grid(maps)
        return size(maps.shape[0]), down * across

    def grid(self, maps: Tensor) -> tuple[int, int]:
        """Patches down and across a map [B, channels, height, width]."""
        s = self.spec
        down, across = ((int(edge) - s.patch % 2) // s.stride + 1 for edge in maps.shape[2:])
        return down, across

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, channels, height, width] -> [B, patches, E]; flat rows where nobody looks."""
        projection = leaf(node, "patch")
        made: Tensor = projection(given["pixel_values"].to(projection.weight.dtype))
        rows: Tensor = leaf(node, "embedding_norm")(made.flatten(2).transpose(1, 2))
        return rows if pass_.watched else pass_.layout.pack(rows)
