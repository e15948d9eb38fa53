"""Places on a grid of patches, told apart by how far they lie from each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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


def patch_boxes(down: int, across: int) -> Tensor:
    """The box whose centre is a patch's lower right corner and whose size is the patch's, as logits.

    Minderer et al. 2022, arXiv:2205.06230, section 3.1.

    Returns:
        [down * across, 4]: centre x, centre y, width, height.
    """
    rows, columns = (torch.arange(1, count + 1) / count for count in (down, across))
    centres = torch.stack((columns.repeat(down), rows.repeat_interleave(across)), dim=-1)
    boxes = torch.cat((centres, centres.new_tensor([1 / across, 1 / down]).expand_as(centres)), dim=-1)
    return torch.log(boxes + 1e-4) - torch.log1p(-boxes + 1e-4)


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


@dataclass(frozen=True)
class Axial:
    """Turns by the row and by the column of a patch, from -1 to 1 (arXiv:2508.10104, section 3.2).

    Half of the features of a head are turned by either. In training places are moved by up to `shift`, each
    axis is drawn out by a factor between 1 / `jitter` and `jitter`, and both by one up to `rescale`.

    Attributes:
        width: D, a multiple of four; all features are turned.
        theta: the base of the frequencies.
        patch: height and width of a patch.
        before: tokens before the patches, which are not turned.
    """

    width: int
    theta: float
    patch: tuple[int, int]
    before: int = 1
    shift: float | None = None
    jitter: float | None = None
    rescale: float | None = None
    adjacent = False
    trained_length = None

    def table(self, grid: Grid, device: torch.device, moved: bool) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a grid, [patches, D] each, float32; `moved` as in training."""
        place = torch.arange(grid.down * grid.across, device=device)
        axes = ((place // grid.across, grid.down), (place % grid.across, grid.across))
        middles = torch.stack([2.0 * (at + 0.5) / count - 1.0 for at, count in axes], dim=1)  # [patches, 2]
        if moved and self.shift is not None:
            middles = middles + torch.empty(1, 2, device=device).uniform_(-self.shift, self.shift)
        for most, count in ((self.jitter, 2), (self.rescale, 1)):
            if moved and most is not None:
                bound = math.log(most)
                middles = middles * torch.empty(1, count, device=device).uniform_(-bound, bound).exp()
        rates = self.theta ** -torch.arange(0, 1, 4 / self.width, device=device)  # [D / 4]
        turns = (2 * math.pi * middles[:, :, None] * rates).flatten(1).tile(2)
        return turns.cos(), turns.sin()


class AxialNode(nn.Module):
    """Cosines and sines of the patches of images, as a node that can be hooked."""

    row_wise = True

    def __init__(self, rule: Axial) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, height, width] -> two tensors [patches, D] in that dtype."""
        sizes = zip(pixel_values.shape[2:], self.rule.patch, strict=True)
        grid = Grid(*(size // side for size, side in sizes))
        cos, sin = self.rule.table(grid, pixel_values.device, self.training)
        return cos.to(pixel_values.dtype), sin.to(pixel_values.dtype)


def turn_patches(node: Any, rule: Axial, images: Tensor, pass_: Any) -> None:
    """Hold the turns of every row of a pass, none for the tokens before the patches."""
    cos, sin = (F.pad(t, (0, 0, rule.before, 0), value=1.0 - i) for i, t in enumerate(node(images)))
    if not pass_.watched:
        batch = pass_.layout.batch
        cos, sin = (pass_.layout.pack(t[None].expand(batch, -1, -1)) for t in (cos, sin))
    pass_.memo.put(rule, (cos, sin))
