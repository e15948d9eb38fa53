"""Pictures cut into tiles of one size: which sizes they are brought to, and what of those is theirs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int]  # height and width


def best_size(height: int, width: int, sizes: Sequence[Sequence[int]]) -> Size:
    """The size [height, width] of several that keeps most of a picture, and of those the least empty one.

    Liu et al. 2024, "LLaVA-NeXT", dynamic high resolution.

    Raises:
        ValueError: where there is none.
    """
    if not sizes:
        raise ValueError("image_grid_pinpoints names no sizes that pictures could be brought to")
    found, kept, empty = (0, 0), 0, math.inf
    for down, across in sizes:
        share = min(across / width, down / height)
        inside = min(int(width * share) * int(height * share), height * width)
        left = across * down - inside
        if inside > kept or (inside == kept and left < empty):
            found, kept, empty = (int(down), int(across)), inside, left
    return found


def canvas(picture: Size, tile: Size, least: int, most: int) -> Size:
    """How many tiles down and across a picture becomes, so that its form changes least.

    Of forms that fit alike, the larger ones are taken as long as half of their pixels are the picture's
    (Chen et al. 2024, arXiv:2404.16821, section 3.2).

    Args:
        picture: height and width.
        tile: likewise.
        least: number of tiles.
        most: number of tiles.
    """
    form, pixels = picture[1] / picture[0], picture[0] * picture[1]
    sizes = [
        (across, down)
        for across in range(1, most + 1)
        for down in range(1, most + 1)
        if least <= across * down <= most
    ]
    found, apart = (1, 1), math.inf
    for across, down in sorted(sizes, key=math.prod):
        off = abs(form - across / down)
        if off < apart or (off == apart and pixels > 0.5 * tile[0] * tile[1] * across * down):
            found, apart = (down, across), off
    return found


def covering(picture: Size, tile: Size, most: int) -> Size:
    """How many tiles down and across a picture lies within, grown the least; else made small the least."""
    edges = range(1, most + 1)
    sizes = [(across, down) for across in edges for down in edges if across * down <= most]
    sizes.sort(key=math.prod)
    grows = [min(across * tile[0] / picture[1], down * tile[0] / picture[0]) for across, down in sizes]
    best = min((one for one in grows if one >= 1), default=max(grows))
    across, down = sizes[grows.index(best)]
    return down, across


def forms(most: int) -> list[Size]:
    """Every number of tiles down and across of so many tiles at most."""
    edges = range(1, most + 1)
    return [(down, across) for down in edges for across in edges if down * across <= most]


def grown_within(height: int, width: int, size: Size, tile: int) -> Size:
    """Height and width of a picture within a size: it grows to the edge of a tile, and no further."""
    down, across = (min(max(edge, tile), room) for edge, room in zip((height, width), size, strict=True))
    by_height, by_width = down / height, across / width
    if by_width < by_height:
        return min(math.floor(height * by_width) or 1, down), across
    return down, min(math.floor(width * by_height) or 1, across)


def within(height: int, width: int, size: Size) -> Size:
    """The largest height and width of a picture's form that lie within a size, rounded up."""
    down, across = size
    if across / width < down / height:
        return min(math.ceil(height * (across / width)), down), across
    return down, min(math.ceil(width * (down / height)), across)


def borders(height: int, width: int, size: Size) -> Size:
    """Rows above and below, and columns left and right, of a map that show no picture of that form.

    Args:
        height: of the picture.
        width: of the picture.
        size: of the map in whose middle it lies.
    """
    down, across = size
    if width / height > across / down:
        return (down - int(round(height * (across / width), 7))) // 2, 0
    return 0, (across - int(round(width * (down / height), 7))) // 2


def shrunk(size: Size, most: float) -> Size | None:
    """The size that a map is brought to so that it has about `most` places; None where it stays."""
    ratio = math.sqrt(size[0] * size[1] / most)
    return (int(size[0] // ratio), int(size[1] // ratio)) if ratio > 1.1 else None


def most_tiles(said: str) -> int:
    """How many tiles' patches stand for a picture at most, about, by a setting as `anyres_max_9`.

    Raises:
        ValueError: for what says no number.
    """
    found = re.fullmatch(r"anyres_max_(\d+)", said)
    if found is None:
        raise ValueError(f"vision_aspect_ratio is anyres_max_9 or with another number, not {said!r}")
    return int(found[1])


@dataclass(frozen=True)
class Lines:
    """The lines of patches that stand for a picture in tiles, each with something at its end.

    Attributes:
        grid: tiles down and across; None for a picture that is not cut.
        edge: patches along a side of a tile.
        picture: height and width of the picture.
        most: how many tiles' patches stand for it at most, about; None for all.
    """

    grid: Size | None
    edge: int
    picture: Size
    most: int | None = None

    @property
    def tiles(self) -> int:
        """How many tiles there are, with the one of all of the picture."""
        return 1 if self.grid is None else 1 + self.grid[0] * self.grid[1]

    @property
    def bare(self) -> Size:
        """Rows above and below, and columns left and right, of the map of all tiles that show nothing."""
        down, across = self.grid or (1, 1)
        return borders(*self.picture, (down * self.edge, across * self.edge))

    def drawn(self, size: Size) -> Size | None:
        """The size that a map without those is brought to; None where it stays."""
        return None if self.most is None else shrunk(size, self.most * self.edge**2)

    @property
    def count(self) -> int:
        """How many vectors stand for the picture, beside those of all of it as one tile."""
        if self.grid is None:
            return 1
        size = (
            self.grid[0] * self.edge - 2 * self.bare[0],
            self.grid[1] * self.edge - 2 * self.bare[1],
        )
        down, across = self.drawn(size) or size
        return down * (across + 1)
