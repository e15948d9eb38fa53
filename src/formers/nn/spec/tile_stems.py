"""A stem of pictures in tiles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TilePatches:
    """Patches of a picture's tiles, one tile behind the other, with a class token before those of each.

    Each tile is told its place in the picture, by the picture's form, before the class token and behind it
    with its patches' places; learned gates weigh both (Llama Team 2024, arXiv:2407.21783, section 7.2).
    Zeros behind each tile make its rows a multiple of `multiple`. Roles: `patch`, `cls`, `tile_before`,
    `position`, `pre_norm`.

    Attributes:
        channels: of pictures.
        edge: of a tile, a square, in pixels; `patch` likewise.
        width: E.
        tiles: of a picture, at most.
        forms: how many forms there are; 0 is that of no picture.
        multiple: see above.
    """

    channels: int
    edge: int
    patch: int
    width: int
    tiles: int
    forms: int
    multiple: int = 8
    reads = "pixel_values"
    room = None

    @property
    def count(self) -> int:
        """Rows of a tile, the class token's with them."""
        return (self.edge // self.patch) ** 2 + 1

    @property
    def padded(self) -> int:
        """Rows of a tile, with the zeros."""
        return -(-self.count // self.multiple) * self.multiple
