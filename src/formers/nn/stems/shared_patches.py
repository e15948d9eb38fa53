"""The stem of pictures of any form in rooms of one size. See `spec.SharedPatches`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.grids import Grid
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.stems.patches import PatchStem
from formers.nn.tree import leaf

MASK = "patch_attention_mask"


class SharedPatchStem(PatchStem):
    """See `spec.SharedPatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, channels, height, width], floating.",
        MASK: "[B, down, across], bool, where patches show something; all of them where there is none.",
    }

    def _free(self, given: Mapping[str, Any]) -> bool:
        return True

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Which patches show something, [B, T].

        Raises:
            ValueError: for a mask of another grid.
        """
        if mask is None:
            return None
        batch, grid = self._grid(given or {})
        if not isinstance(mask, Tensor) or tuple(mask.shape) != (batch, *grid):
            said = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"{MASK} has an entry for every patch, {[batch, *grid]}, not {said}")
        return mask.flatten(1).bool()

    def _grid(self, given: Mapping[str, Any]) -> tuple[int, tuple[int, int]]:
        images = given["pixel_values"]
        return int(images.shape[0]), self.spec.grid_of(*images.shape[2:])

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Rows of the table of positions, [B, T]; the first where nothing is shown."""
        batch, grid = self._grid(given)
        device = given["pixel_values"].device
        seen = torch.ones(batch, *grid, dtype=torch.bool, device=device)
        seen = seen if real is None else real.view(batch, *grid)
        down, across = self.spec.grid
        rows = _shares(seen[:, :, 0].sum(1), grid[0], down)
        columns = _shares(seen[:, 0].sum(1), grid[1], across)
        found: Tensor = rows[:, :, None] * across + columns[:, None]
        return found.masked_fill(~seen, 0).flatten(1)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, channels, height, width] -> [B, T, E]; flat rows where nobody looks."""
        table: Any = leaf(node, "position")
        images = given["pixel_values"].to(leaf(node, "patch").weight.dtype)
        pass_.memo.put("grid", Grid(*self.spec.grid_of(*images.shape[2:])))
        x = self._patches(node, images, pass_)
        places = pass_.geometry.positions
        if pass_.watched:
            found: Tensor = x + table(places)
            return found
        rows: Tensor = pass_.layout.pack(x) + F.embedding(places, table.weight)
        return rows


def _shares(counts: Tensor, room: int, edge: int) -> Tensor:
    """At which of `edge` places each of `room` lies, of which there are `counts`, [B]: [B, room], int64."""
    step = 1.0 / counts
    at = torch.arange(room, device=counts.device, dtype=torch.float32)[None] * step[:, None]
    bounds = torch.arange(1 / edge, 1.0, 1 / edge, device=counts.device)
    return torch.bucketize(at.clamp(max=1.0 - 1e-6), bounds, right=True)
