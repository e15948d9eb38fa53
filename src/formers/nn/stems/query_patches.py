"""The stem of images with queries for what they show behind the patches, and positions for later layers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.grids import Grid
from formers.nn.passing import Pass
from formers.nn.stems.patches import PatchStem, laid_out
from formers.nn.tree import Block, leaf, place_tensor, wiring


class QueryPatchStem(PatchStem):
    """See `spec.QueryPatches`."""

    inputs: ClassVar = {
        "pixel_values": "[B, channels, height, width], floating.",
        "pixel_mask": "[B, height, width], what image processors say beside: padding is read as pixels are, "
        "which is how such models learn, so that this changes nothing.",
    }

    def _patches(self, node: Any, images: Tensor, pass_: Pass) -> Tensor:
        x = super()._patches(node, images, pass_)
        return torch.cat((x, leaf(node, "queries").expand(x.shape[0], -1, -1)), dim=1)


def place_between(owner: Block, path: str, s: Any, layers: int) -> None:
    """Register positions [layers - 1, 1, T, E] that are added between layers over that stem of patches."""
    count = len(s.leads) + s.count + s.behind
    place_tensor(owner, "between", path, torch.zeros(layers - 1, 1, count, s.width), Constant(0.0))
    wiring(owner).facts["between"] = s


def put_between(owner: nn.Module, pass_: Pass) -> None:
    """Let the pass hold them, stretched to its grid of patches: [layers - 1, T, E]."""
    s: spec.Patches = wiring(owner).facts["between"]
    rows, grid = leaf(owner, "between")[:, 0], pass_.memo.get("grid") or Grid(*s.grid)
    if len(rows) and (grid.down, grid.across) != s.grid:
        rows = laid_out(s, rows, (grid.down, grid.across))
    pass_.memo.put("between", rows)


def add_between(x: Tensor, places: Tensor, pass_: Pass) -> Tensor:
    """States [N, E], or [B, T, E] in a watched pass, and positions [T, E]: the shape stays."""
    if pass_.watched:
        return x + places
    return pass_.layout.pack(pass_.layout.unpack(x) + places)
