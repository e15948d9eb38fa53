"""The stem of pictures of any size whose patches lie end to end. See `spec.SizedPatches`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.core.tiles import Size
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, maps_in, want
from formers.nn.stems.grid_patches import runs_of
from formers.nn.tree import Block, leaf, place

SIZES = "image_sizes"


def sizes_in(given: Any, what: str = "of each picture") -> list[Size]:
    """Heights and widths, from [pictures, 2].

    Raises:
        ValueError: for what is none.
    """
    told = torch.as_tensor(given) if isinstance(given, (list, tuple)) else given
    if not isinstance(told, Tensor) or told.dim() != 2 or told.shape[1] != 2:
        said = list(told.shape) if isinstance(told, Tensor) else type(told).__name__
        raise ValueError(
            f"{SIZES} says the height and width {what}, [pictures, 2], not {said}: pass what the processor "
            "returns"
        )
    return [(int(down), int(across)) for down, across in told.tolist()]


class SizedPatchStem(Stem):
    """See `spec.SizedPatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, channels, height, width], floating, every picture at the upper left.",
        SIZES: "[B, 2], int64, heights and widths of the pictures; that of all where it is not given.",
    }

    places_flat: ClassVar = True

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection."""
        s = self.spec
        want(names, "patch")
        place(
            owner,
            "patch",
            str(names["patch"]),
            nn.Conv2d(s.channels, s.width, s.patch, stride=s.patch, bias=s.bias),
        )

    def _grids(self, given: Mapping[str, Any]) -> list[Size]:
        """Patches down and across each picture.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for pictures that are larger than their room, or smaller than a patch.
        """
        s, images = self.spec, maps_in(given, self.spec.channels)
        room, told = tuple(images.shape[2:]), given.get(SIZES)
        sizes = [(int(room[0]), int(room[1]))] * len(images) if told is None else sizes_in(told)
        if len(sizes) != len(images):
            raise ValueError(f"there are {len(images)} pictures, but {SIZES} of {len(sizes)}")
        grids = [(down // s.patch[0], across // s.patch[1]) for down, across in sizes]
        for size, grid in zip(sizes, grids, strict=True):
            if not grid[0] * grid[1] or size[0] > room[0] or size[1] > room[1]:
                raise ValueError(
                    f"a picture of {list(size)} is smaller than a patch {list(s.patch)}, or larger than what "
                    f"holds it, {list(room)}"
                )
        return grids

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """One row of all patches."""
        return 1, sum(down * across for down, across in self._grids(given))

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Row and column of every patch in its picture, [1, N, 2]."""
        device, found = given["pixel_values"].device, list[Tensor]()
        for down, across in self._grids(given):
            axes = torch.arange(down, device=device), torch.arange(across, device=device)
            found.append(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1))
        return torch.cat(found)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, channels, height, width] -> [1, N, E]; flat rows where nobody looks."""
        grids, patch = self._grids(given), leaf(node, "patch")
        sizes = [down * across for down, across in grids]
        pass_.memo.put("frames", runs_of(sizes, given["pixel_values"].device))
        maps = patch(given["pixel_values"].to(patch.weight.dtype))
        rows = [one[:, :down, :across].flatten(1).T for one, (down, across) in zip(maps, grids, strict=True)]
        x = torch.cat(rows)
        return x[None] if pass_.watched else x
