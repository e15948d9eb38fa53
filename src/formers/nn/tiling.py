"""Maps of a picture's tiles as one row of vectors, in which a learned one ends every line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.tiles import Lines


def in_lines(lines: Lines, tiles: Tensor, end: Tensor) -> Tensor:
    """Maps of tiles [1 + n, P * P, E], the first of all of a picture, as that and lines: [N, E].

    Liu et al. 2024, "LLaVA-NeXT".

    Args:
        lines: how the picture was cut.
        tiles: as said.
        end: [E], what ends every line.

    Raises:
        ValueError: for tiles of another number of patches.
    """
    whole, end, edge = tiles[0], end.to(tiles), lines.edge
    if lines.grid is None:
        return torch.cat((whole, end[None]))
    if tiles.shape[1] != edge**2:
        raise ValueError(
            f"a tile of {edge} x {edge} patches has {tiles.shape[1]} vectors: vision_feature_select_strategy "
            "is 'default' for image models with a class token, and 'full' for those without"
        )
    parts = tiles[1:].reshape(*lines.grid, edge, edge, tiles.shape[2])
    found = parts.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)  # [E, down, across]
    above, left = lines.bare
    found = found[:, above : found.shape[1] - above, left : found.shape[2] - left]
    size = lines.drawn((found.shape[1], found.shape[2]))
    if size is not None:
        found = F.interpolate(found[None], size, mode="bilinear")[0]
    ended = torch.cat((found, end[:, None, None].expand(-1, found.shape[1], 1)), dim=2)
    return torch.cat((whole, ended.flatten(1).T))


def halved(maps: Tensor, edge: int) -> Tensor:
    """Maps of patches [N, P * P, E] with half as many down and across, rounded up, drawn between them."""
    squares = maps.reshape(len(maps), edge, edge, -1).permute(0, 3, 1, 2)
    half = math.ceil(edge / 2)
    return F.interpolate(squares, (half, half), mode="bilinear").flatten(2).transpose(1, 2)


def shuffled(maps: Tensor, square: int) -> Tensor:
    """Maps [N, down, across, E] in which squares of places are one: [N, down / s, across / s, E * s * s].

    Shi et al. 2016, arXiv:1609.05158, backwards.

    Raises:
        ValueError: for maps of which no whole squares can be made.
    """
    count, down, across, width = maps.shape
    if down % square or across % square:
        raise ValueError(f"{down} x {across} patches are no whole squares of {square} x {square}")
    parts = maps.reshape(count, down // square, square, across // square, square, width)
    return parts.transpose(2, 3).reshape(count, down // square, across // square, square * square * width)


@dataclass(frozen=True)
class Canvas:
    """A picture in crops of one size, whose lower and right edges may show nothing.

    Attributes:
        grid: crops down and across.
        edge: vectors along a side of a crop.
        useful: vectors down and across that show something.
    """

    grid: tuple[int, int]
    edge: int
    useful: tuple[int, int]

    @property
    def count(self) -> int:
        """How many vectors stand for it, see `useful_lines`."""
        down, across = self.useful
        return down * (across + 1) + 1 + self.edge * (self.edge + 1)


def useful_lines(canvas: Canvas, crops: Tensor, end: Tensor, between: Tensor) -> Tensor:
    """Lines of a picture's crops, a vector, and lines of the whole of it: [N, E].

    Microsoft 2025, arXiv:2503.01743, section 2.1.1.

    Args:
        canvas: how the picture was cut.
        crops: [1 + n, edge * edge, E], the first of the whole of it; what is behind those of the grid is not
            read.
        end: [E], what ends every line.
        between: [E], what stands before the lines of the whole.
    """
    edge, (down, across) = canvas.edge, canvas.useful
    parts = crops[1 : 1 + math.prod(canvas.grid)].reshape(*canvas.grid, edge, edge, -1).transpose(1, 2)
    laid = parts.flatten(2, 3).flatten(0, 1)[:down, :across]  # [down, across, E]
    lines = (
        torch.cat((one, end.expand(len(one), 1, -1)), dim=1).flatten(0, 1)
        for one in (laid, crops[0].reshape(edge, edge, -1))
    )
    first, whole = lines
    return torch.cat((first, between[None], whole))
