"""Attention to a few places of several maps. Roles: see `spec.Deformable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.fresh import Constant, Rays, Xavier, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import placed
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf

Sizes = Sequence[tuple[int, int]]


@dataclass(eq=False)
class Looked:
    """What layers of a pass look at.

    Attributes:
        sizes: height and width of each map, in the order in which their places lie in what is read.
        at: where queries stand in each map, or in all, as shares of its width and height: points
            (x, y) [B, T, L or 1, 2], or boxes (centre x, centre y, width, height) [B, T, L or 1, 4].
    """

    sizes: Sizes
    at: Tensor


class Look(Step):
    """Choose places, weigh what is there; what is projected back follows."""

    begins = attends = True

    def __init__(self, s: spec.Deformable, width: int) -> None:
        super().__init__()
        self.spec, self.prefix = s, "cross_" if s.cross else ""
        heads, places = s.heads, s.heads.query * s.levels * s.points
        source, inner = s.source or width, heads.query * heads.width
        rays = Rays(heads.query, s.points)
        self.shown = {"n_heads": heads.query, "n_levels": s.levels, "n_points": s.points}
        self.leaves = {
            f"{self.prefix}offsets": lambda: begins(
                linear("linear", width, 2 * places), weight=Constant(0.0), bias=rays
            ),
            f"{self.prefix}weights": lambda: begins(
                linear("linear", width, places), weight=Constant(0.0), bias=Constant(0.0)
            ),
            f"{self.prefix}v": lambda: even(source, inner),
        }
        if s.shares:
            share = torch.full((s.levels * s.points,), 1 / s.points)
            self.leaves[f"{self.prefix}points_scale"] = lambda: Bare(
                share, Constant(1 / s.points), keep=True, trained=False
            )

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., H * D].

        Raises:
            ValueError: for a layer that is called by itself, and maps that do not fit what is read.
        """
        s, pass_, watched = self.spec, flow.pass_, flow.watched
        looked: Looked | None = pass_.memo.get("looked")
        if looked is None:
            raise ValueError("this attention reads where maps and queries lie: call the model, not a part")
        seen = pass_.visibility
        read, real = (seen.encoder, seen.encoder_real) if s.cross else (flow.x, seen.real)
        assert read is not None
        batch, heads = pass_.layout.batch, s.heads
        values = project(leaf(node, f"{self.prefix}v"), read, None, watched)
        values = values.view(batch, -1, heads.query, heads.width)
        count = sum(height * width for height, width in looked.sizes)
        if len(looked.sizes) != s.levels or count != values.shape[1]:
            raise ValueError(
                f"{s.levels} maps are read, of {values.shape[1]} places in all, but they are said to have "
                f"(height, width) {[tuple(size) for size in looked.sizes]}"
            )
        if real is not None:
            values = values.masked_fill(~real[..., None, None], 0.0)
        x = placed(flow.x, pass_) if s.placed else flow.x
        offsets, scores = (
            project(leaf(node, self.prefix + role), x, None, watched) for role in ("offsets", "weights")
        )
        shape = (batch, pass_.layout.length, heads.query, s.levels, s.points)
        weights = scores.view(*shape[:3], -1).softmax(-1)
        at = self._places(node, looked, offsets.view(*shape, 2))
        mixed = look(values, looked.sizes, at, weights.view(shape), s.nearest)
        name = "cross_attentions" if s.cross else "attentions"
        if name in pass_.trace:
            flow.weights = weights if s.flat else weights.view(shape)
            pass_.keep(name, flow.weights)
        flow.x = mixed.reshape(*flow.x.shape[:-1], -1)

    def _places(self, node: Any, looked: Looked, offsets: Tensor) -> Tensor:
        """Offsets [B, T, H, L, P, 2] -> where that is in each map, from 0 to 1, likewise."""
        at, s = looked.at[:, :, None, :, None], self.spec  # [B, T, 1, L or 1, 1, 2 or 4]
        if at.shape[-1] == 4:
            if s.shares:
                share = leaf(node, f"{self.prefix}points_scale").to(offsets.dtype)
                offsets = offsets * share.view(s.levels, s.points, 1)
            else:
                offsets = offsets / s.points
            return at[..., :2] + offsets * at[..., 2:] * s.reach
        across = torch.tensor([[width, height] for height, width in looked.sizes], device=offsets.device)
        return at + offsets / across[:, None]


def even(width_in: int, width_out: int) -> Any:
    """A linear leaf that begins with even values, and without bias."""
    return begins(linear("linear", width_in, width_out), weight=Xavier(), bias=Constant(0.0))


def look(values: Tensor, sizes: Sizes, at: Tensor, weights: Tensor, nearest: bool = False) -> Tensor:
    """The weighed sum of what stands at places of maps.

    Args:
        values: [B, S, H, D], the maps' places end to end, row by row.
        sizes: height and width of each map.
        at: [B, T, H, L, P, 2], (x, y) in each map: 0 is its left or upper edge, 1 the other one. Beyond them
            values are zero; of the `nearest` places those on the edge.
        weights: [B, T, H, L, P].
        nearest: take the nearest place, not the four around.

    Returns:
        [B, T, H * D].
    """
    batch, length, heads, levels, points, _ = at.shape
    width, found = values.shape[-1], []
    maps = values.permute(0, 2, 3, 1).flatten(0, 1)  # [B * H, D, S]
    at = at.permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # [B * H, L, T, P, 2]
    parts = torch.split(maps, [height * across for height, across in sizes], dim=-1)
    for level, (part, (height, across)) in enumerate(zip(parts, sizes, strict=True)):
        if nearest:
            index = _nearest(at[:, level].flatten(1, 2), height, across)  # [B * H, T * P]
            one = part.gather(2, index[:, None].expand(-1, width, -1))
            one = one.view(-1, width, length, points)
        else:
            grid = part.reshape(-1, width, height, across)
            one = F.grid_sample(grid, 2 * at[:, level] - 1, padding_mode="zeros", align_corners=False)
        found.append(one)  # [B * H, D, T, P]
    shares = weights.transpose(1, 2).reshape(batch * heads, 1, length, levels * points)
    mixed = (torch.cat(found, dim=-1) * shares).sum(-1)  # [B * H, D, T]
    return mixed.view(batch, heads * width, length).transpose(1, 2)


def _nearest(at: Tensor, height: int, width: int) -> Tensor:
    """[.., 2] -> the number of the place in its map, [..], int64."""
    column = (at[..., 0] * width + 0.5).long().clamp(0, width - 1)
    row = (at[..., 1] * height + 0.5).long().clamp(0, height - 1)
    return row * width + column


def deformable_steps(s: spec.Deformable, width: int) -> list[Step]:
    """Look, project back."""
    role = "cross_o" if s.cross else "o"
    return [Look(s, width), Project(role, lambda: even(s.heads.query * s.heads.width, width))]
