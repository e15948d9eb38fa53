"""Where the places of a map stand: a vector for each, that attention reads beside what is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from formers.nn.fresh import Uniform, begins

ROOM = 50  # rows and columns that learned places know


class SinePlaces(nn.Module):
    """Sinusoids of the row and then of the column, as shares of what is no padding.

    Carion et al. 2020, arXiv:2005.12872, appendix A.4.

    Args:
        width: E, of which each half tells one axis.
        warmth: by which factor the slowest wave is longer than the fastest.
        shift: how far before its end a place stands, 0.5 for its middle.
    """

    row_wise = True

    def __init__(self, width: int, warmth: float = 10_000.0, shift: float = 0.0) -> None:
        super().__init__()
        self.width, self.warmth, self.shift = width, warmth, shift

    def forward(
        self, shape: torch.Size, device: torch.device, dtype: torch.dtype, mask: Tensor | None = None
    ) -> Tensor:
        """A map of `shape` [B, ., H, W] -> [B, E, H, W]; `mask` [B, H, W], bool, says what is no padding."""
        half = self.width // 2
        real = torch.ones(shape[0], *shape[2:], device=device) if mask is None else mask.float()
        rates = self.warmth ** (2 * torch.arange(half // 2, device=device) / half)
        waves = []
        for axis in (1, 2):
            count = real.cumsum(axis)
            share = (count - self.shift) / (count.narrow(axis, -1, 1) + 1e-6) * 2 * math.pi
            angle = share[..., None] / rates
            waves.append(torch.stack((angle.sin(), angle.cos()), -1).flatten(-2))
        return torch.cat(waves, -1).permute(0, 3, 1, 2).to(dtype)


class GridPlaces(nn.Module):
    """Sinusoids of the row and then of the column of a map, which are counted.

    Half of the features of each are sines (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).

    Args:
        width: E, a multiple of four.
        warmth: by which factor the slowest wave would be longer than the fastest, were there one more.
    """

    row_wise = True

    def __init__(self, width: int, warmth: float = 10_000.0) -> None:
        super().__init__()
        if width % 4:
            raise ValueError(f"places on a grid are told by a multiple of four features, not by {width}")
        self.width, self.warmth = width, warmth

    def forward(self, width: int, height: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """[1, height * width, E], row by row."""
        quarter = self.width // 4
        rates = self.warmth ** (-torch.arange(quarter, dtype=torch.float64, device=device) / quarter)
        down, across = (torch.arange(count, device=device)[:, None] * rates for count in (height, width))
        turns = (down.repeat_interleave(width, 0), across.repeat(height, 1))
        waves = [wave for turn in turns for wave in (turn.sin(), turn.cos())]
        return torch.cat(waves, 1)[None].to(dtype)


def box_waves(boxes: Tensor, width: int, warmth: float = 10_000.0, turned: bool = True) -> Tensor:
    """Sinusoids of points or boxes, shares, [.., 2 or 4] -> [.., 2 or 4 times the width].

    If `turned`, those of y stand before those of x (Liu et al. 2022, arXiv:2201.12329, section 4.2).
    """
    rates = warmth ** (2 * torch.arange(width // 2, device=boxes.device) / width)
    angle = boxes.float()[..., None] * (2 * math.pi) / rates
    waves = torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)  # [.., 2 or 4, width]
    waves = waves[..., [1, 0, 2, 3][: boxes.shape[-1]], :] if turned else waves
    return waves.flatten(-2).to(boxes.dtype)


class LearnedPlaces(nn.Module):
    """A vector for each column and one for each row, `ROOM` of both.

    Args:
        width: E, of which each half tells one axis.

    Raises:
        ValueError: for larger maps.
    """

    row_wise = True

    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ("row_embeddings", "column_embeddings"):
            table = nn.Embedding(ROOM, width // 2)
            self.add_module(name, begins(table, weight=Uniform(1.0, 0.0)))

    def forward(
        self, shape: torch.Size, device: torch.device, dtype: torch.dtype, mask: Tensor | None = None
    ) -> Tensor:
        """As `SinePlaces`; padding has places too."""
        batch, _, down, across = shape
        if max(down, across) > ROOM:
            raise ValueError(
                f"a map of {down} x {across} places is larger than the {ROOM} x {ROOM} that this model "
                "learned: read smaller pictures"
            )
        row, column = (
            table(torch.arange(count, device=device))
            for table, count in zip(self.children(), (down, across), strict=True)
        )
        both = (column[None].expand(down, -1, -1), row[:, None].expand(-1, across, -1))
        return torch.cat(both, -1).permute(2, 0, 1).expand(batch, -1, -1, -1)


PLACES: dict[str, Callable[..., nn.Module]] = {
    "sine": SinePlaces,
    "middles": partial(SinePlaces, shift=0.5),
    "learned": LearnedPlaces,
}
