"""The stem of images that come as their patches. See `spec.GivenPatches`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import linear, rows_of_table
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, pixels_in, want
from formers.nn.tree import Block, leaf, place


class GivenPatchStem(Stem):
    """See `spec.GivenPatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, T, channels * height * width of a patch], floating.",
        "pixel_attention_mask": "[B, T], 1 at patches that there are.",
        "spatial_shapes": "[B, 2], int64, patches down and across.",
    }
    by_row: ClassVar = ("pixel_values",)

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection and the positions."""
        s = self.spec
        want(names, "patch", "position")
        place(owner, "patch", str(names["patch"]), linear("linear", s.numbers, s.width))
        place(owner, "position", str(names["position"]), nn.Embedding(s.count, s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many patches there is room for.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for patches of another size, or shapes that do not fit.
        """
        patches, shapes = pixels_in(given, "[B, T, numbers of a patch]"), given.get("spatial_shapes")
        if patches.dim() != 3 or patches.shape[2] != self.spec.numbers:
            raise ValueError(
                f"pixel_values must have shape [B, T, {self.spec.numbers}] here, not {list(patches.shape)}"
            )
        batch, room = patches.shape[:2]
        if not isinstance(shapes, Tensor) or tuple(shapes.shape) != (batch, 2):
            said = list(shapes.shape) if isinstance(shapes, Tensor) else type(shapes).__name__
            raise ValueError(
                f"spatial_shapes says how many patches down and across there are, [{batch}, 2], not {said}"
            )
        if any(min(one) < 1 or one[0] * one[1] > room for one in shapes.tolist()):
            raise ValueError(f"{shapes.tolist()} patches down and across do not fit into {room} places")
        return int(batch), int(room)

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: the table is added here, not looked up."""
        return torch.arange(layout.length, device=given["pixel_values"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, numbers], or rows of them -> [B, T, E] or [N, E]."""
        patches, shapes = given["pixel_values"], given["spatial_shapes"]
        projection = leaf(node, "patch")
        x: Tensor = project(projection, patches.to(projection.weight.dtype), None, pass_.watched)
        places = self._places(rows_of_table(leaf(node, "position")), shapes.tolist(), pass_.layout.length)
        return x + (places if x.dim() == 3 else pass_.layout.pack(places))

    def _places(self, table: Tensor, shapes: list[list[int]], room: int) -> Tensor:
        """The positions of every image's own grid, [B, T, E]; the first one's where there is no patch."""
        side = self.spec.side
        # with channels last in memory torch 2.13 draws grids of one column wrongly
        square = table.view(1, side, side, -1).permute(0, 3, 1, 2).contiguous()
        square = (
            square.float() if table.device.type == "cpu" else square
        )  # there narrow numbers are not drawn
        drawn: dict[tuple[int, ...], Tensor] = {}
        for size in {tuple(one) for one in shapes}:
            grid = (
                F.interpolate(square, size, mode="bilinear", antialias=True)[0].flatten(1).T.to(table.dtype)
            )
            drawn[size] = torch.cat((grid, grid[:1].expand(room - len(grid), -1)))
        return torch.stack([drawn[tuple(one)] for one in shapes])
