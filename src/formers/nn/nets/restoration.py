"""Between the rows and the maps of networks that restore pictures. See `spec.shifted_windows.Restoration`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.nn.nets.leaves import leaf_of
from formers.nn.nets.tree import NetNode, fill
from formers.nn.spec import nets
from formers.nn.tree import Group, leaf


class MapOfRows(Group):
    """Rows as a map."""

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """[B, H * W, C] -> [B, C, H, W]."""
        return x.transpose(1, 2).reshape(x.shape[0], -1, *grid)


class RowsOfMap(Group):
    """A projection of every place of a map, as rows."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """[B, C, H, W] -> [B, H * W, C], and H, W."""
        found: Tensor = leaf(self, "patch")(x)
        return found.flatten(2).transpose(1, 2), (found.shape[2], found.shape[3])


def part(s: Any) -> nn.Module:
    """What a record of `spec.nets` stands for."""
    if not isinstance(s, nets.Node):
        return leaf_of(s)
    made = NetNode()
    fill(made, s)
    return made
