"""Decoders: a value, or several, for every place of a picture, out of the maps of stages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FusedMaps:
    """All maps at one width and size, side by side, mixed at every place (arXiv:2105.15203, section 3.2).

    Attributes:
        widths: channels of the maps.
        width: of what they become.
        labels: C.
        dropout: before the labels' layer.
    """

    widths: tuple[int, ...]
    width: int
    labels: int
    dropout: float = 0.0


@dataclass(frozen=True)
class SelectiveMaps:
    """From the last map to the first, each weighed against what the ones behind it became (arXiv:2201.07436).

    Attributes:
        widths: channels of the maps.
        width: of what is made of them.
    """

    widths: tuple[int, ...]
    width: int


@dataclass(frozen=True)
class BoundedDepth:
    """Depths between 0 and `most` out of one of several maps of `width` channels, that numbered `read`."""

    width: int
    most: float
    read: int = -1
