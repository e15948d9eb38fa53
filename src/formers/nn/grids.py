"""Places on a grid of patches, told apart by how far they lie from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.fresh import Constant, begins


@dataclass(frozen=True)
class Grid:
    """A bias for every offset on a grid, behind one token (Bao et al. 2021, arXiv:2106.08254).

    Its table holds the offsets row by row, then that token's with patches, theirs with it, and its own.
    """

    down: int
    across: int

    @property
    def count(self) -> int:
        """Rows of the table."""
        return (2 * self.down - 1) * (2 * self.across - 1) + 3

    def index(self, device: torch.device) -> Tensor:
        """Row of the table for every pair of places, [T, T], int64."""
        place = torch.arange(self.down * self.across, device=device)
        row, column = place // self.across, place % self.across
        below = row[:, None] - row[None] + self.down - 1
        beside = column[:, None] - column[None] + self.across - 1
        found = F.pad(below * (2 * self.across - 1) + beside, (1, 0, 1, 0), value=self.count - 2)
        found[0] = self.count - 3
        found[0, 0] = self.count - 1
        return found

    def stretched(self, table: Tensor, to: Grid) -> Tensor:
        """The table for a grid of another size, [count, H] -> [to.count, H]."""
        if to == self:
            return table
        offsets = table[:-3].T.reshape(1, -1, 2 * self.down - 1, 2 * self.across - 1)
        size = (2 * to.down - 1, 2 * to.across - 1)
        drawn = F.interpolate(offsets, size, mode="bilinear")  # [1, H, .., ..]
        return torch.cat((drawn[0].flatten(1).T, table[-3:]))


class GridBias(nn.Module):
    """The bias of a grid, for every head."""

    row_wise = True

    def __init__(self, grid: Grid, heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.relative_position_bias_table = nn.Parameter(torch.zeros(grid.count, heads))
        begins(self, relative_position_bias_table=Constant(0.0))

    def forward(self, grid: Grid | None = None, index: Tensor | None = None) -> Tensor:
        """That of a grid, which has an `index` [T, T], of any size -> [1, H, T, T]."""
        grid, table = grid or self.grid, self.relative_position_bias_table
        index = grid.index(table.device) if index is None else index
        found = self.grid.stretched(table, grid)[index]  # [T, T, H]
        return found.permute(2, 0, 1)[None].contiguous()


class GridWaves:
    """Sinusoids of the column and then of the row of every patch, behind zeros for `before` tokens.

    Half of the features of each are sines (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).
    """

    def __init__(self, down: int, across: int, before: int = 1) -> None:
        self.down, self.across, self.before = down, across, before

    def fill_(self, tensor: Tensor) -> None:
        """[1, before + patches, E], of which E is a multiple of four."""
        quarter = tensor.shape[-1] // 4
        rates = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
        place = torch.arange(self.down * self.across)
        turns = [at[:, None] * rates for at in (place % self.across, place // self.across)]
        waves = torch.cat([wave for turn in turns for wave in (turn.sin(), turn.cos())], dim=1)
        tensor.zero_()
        tensor[:, self.before :] = waves.to(tensor.device, tensor.dtype)
