"""The stem of images: patches, projected and told where they stand, behind learned tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Constant, Fill, Spread
from formers.nn.grids import Grid, GridWaves
from formers.nn.layout import Layout
from formers.nn.leaves import rows_of_table
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, pixels_in, want
from formers.nn.tree import Block, Group, descend, has, leaf, place, place_tensor, wiring


class PatchNode(Group):
    """The node that cuts an image into patches: [B, channels, height, width] -> [B, patches, E]."""

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Project every patch."""
        return project_patches(self, pixel_values)


def project_patches(node: Any, images: Tensor) -> Tensor:
    """[B, channels, height, width], or [B, frames, channels, ..] -> [B, patches, E], or [B * frames, ..]."""
    patch: Any = leaf(node, "patch")
    if images.dim() == 5:
        images = images.transpose(1, 2) if patch.weight.dim() == 5 else images.flatten(0, 1)
    found: Tensor = patch(images)
    return found.flatten(2).transpose(1, 2)


def hide_patches(node: Any, x: Tensor, hidden: Tensor) -> Tensor:
    """Let the learned vector stand where patches [B, P, E] are hidden, [B, P] or [B, down, across].

    Raises:
        ValueError: where there is no such vector.
    """
    if not has(node, "mask"):
        raise ValueError("bool_masked_pos needs a model with a mask token (use_mask_token=True)")
    chosen = hidden.flatten(1).unsqueeze(-1).type_as(x)  # [B, P, 1]
    made: Tensor = x * (1.0 - chosen) + leaf(node, "mask") * chosen
    return made


def stretched(
    rows: Tensor,
    grid: tuple[int, int],
    to: tuple[int, int],
    smooth: bool = False,
    mode: str = "bicubic",
    corners: bool = False,
) -> Tensor:
    """Learned positions of a grid for one of another size: [n, P, E] -> [n, P', E]; corners may stay."""
    square = rows.reshape(rows.shape[0], *grid, -1).permute(0, 3, 1, 2).float()  # [n, E, down, across]
    drawn = F.interpolate(square, to, mode=mode, antialias=smooth, align_corners=corners)
    return drawn.to(rows.dtype).flatten(2).transpose(1, 2)


def laid_out(s: Any, rows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Learned positions of all tokens of a `spec.Patches` for another grid of patches: [n, T, E]."""
    first, last = len(s.leads), len(s.leads) + s.count
    drawn = stretched(rows[:, first:last], s.grid, grid, s.smooth, s.stretch)
    return torch.cat((rows[:, :first], drawn, rows[:, last:]), dim=1)


class PatchStem(Stem):
    """See `spec.Patches`."""

    node: ClassVar[type[PatchNode]] = PatchNode
    inputs: ClassVar = {
        "pixel_values": "[B, channels, height, width], floating.",
        "bool_masked_pos": "[B, patches], bool, which patches are hidden.",
        "interpolate_pos_encoding": "read images of another size than the model was trained on.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection, the learned tokens, the positions and what stands for a hidden patch."""
        s = self.spec
        there = {"mask": s.masked, "position": s.placed, "registers": s.registers is not None}
        there["queries"] = s.behind > 0
        want(names, "patch", *s.leads, *(role for role, one in there.items() if one))
        count, zeros = len(s.leads) + s.count + s.behind, Constant(0.0)
        one = (s.width,) if s.flat else (1, 1, s.width)
        drawn = Spread(s.std) if s.std else zeros

        def learned(role: str, shape: tuple[int, ...], first: Fill) -> None:
            place_tensor(owner, role, str(names[role]), torch.zeros(shape), first, False)

        for role in s.leads[:1]:
            learned(role, one, drawn)
        if s.behind:
            learned("queries", (1, s.behind, s.width), zeros)
        if s.masked:
            learned("mask", one[1:] if s.narrow_mask else one, zeros)
        if s.placed and s.flat:
            place(owner, "position", str(names["position"]), nn.Embedding(count, s.width))
        elif s.placed:
            waves = GridWaves(s.grid[0], s.grid[1], len(s.leads))
            learned("position", (1, count, s.width), waves if s.fixed else drawn)
            if s.fixed:
                leaf(owner, "position").requires_grad_(False)
        for role in s.leads[1:]:
            learned(role, one, zeros)
        if s.registers is not None:
            first = Spread(s.registers_std) if s.registers_std else zeros
            learned("registers", (1, s.registers, s.width), first)
        *groups, last = str(names["patch"]).split(".")
        made = self._projection()
        if groups:
            node = self.node()
            descend(owner, tuple(groups[:-1])).add_module(groups[-1], node)
            place(node, "patch", last, made)
            wiring(owner).roles["patch"] = (*groups, last)
            wiring(owner).facts["patches"] = tuple(groups)
        else:
            place(owner, "patch", last, made)
        if names.get("embedding_dropout"):
            place(owner, "embedding_dropout", str(names["embedding_dropout"]), Dropout(s.dropout))

    def _projection(self) -> nn.Module:
        s = self.spec
        return nn.Conv2d(s.channels, s.width, s.patch, stride=s.patch, bias=s.bias)

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many tokens and patches there are."""
        images, s = pixels_in(given), self.spec
        fits = images.dim() == 4 and images.shape[1] == s.channels
        if not fits or (not self._free(given) and tuple(images.shape[2:]) != tuple(s.image)):
            wanted = ", ".join(map(str, (s.channels, *s.image)))
            more = "; interpolate_pos_encoding=True reads other sizes" if fits else ""
            raise ValueError(f"pixel_values must have shape [B, {wanted}], not {list(images.shape)}{more}")
        down, across = s.grid_of(*images.shape[2:])
        if not down * across:
            raise ValueError(f"pixel_values {list(images.shape)} are smaller than a patch, {list(s.patch)}")
        return size(images.shape[0]), size(s.before + down * across + s.behind)

    def _free(self, given: Mapping[str, Any]) -> bool:
        """Whether images of any size are read: as the caller says, or else the spec."""
        told = given.get("interpolate_pos_encoding")
        return bool(self.spec.free if told is None else told)

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: the table is added here, not looked up."""
        return torch.arange(layout.length, device=given["pixel_values"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, channels, height, width] -> [B, T, E]; flat rows where nobody looks."""
        images: Tensor = given["pixel_values"]
        images = images.to(leaf(node, "patch").weight.dtype)
        s = self.spec
        pass_.memo.put("grid", Grid(*s.grid_of(*images.shape[2:])))
        x = self._patches(node, images, pass_)
        hidden = given.get("bool_masked_pos")
        if hidden is not None:
            x = hide_patches(node, x, hidden)
        if s.leads:
            x = torch.cat((*(leaf(node, role).expand(x.shape[0], 1, -1) for role in s.leads), x), dim=1)
        if s.placed:
            x = x + self._table(node, images, self._free(given))
        if s.registers:
            more = leaf(node, "registers").expand(x.shape[0], -1, -1)
            x = torch.cat((x[:, :1], more, x[:, 1:]), dim=1)
        if has(node, "embedding_dropout"):
            x = leaf(node, "embedding_dropout")(x)
        elif s.dropout and node.training:
            x = drop(x, s.dropout)
        return x if pass_.watched else pass_.layout.pack(x)

    def _patches(self, node: Any, images: Tensor, pass_: Pass) -> Tensor:
        names = wiring(node).facts.get("patches")
        if names and pass_.watched:
            found: Tensor = node.get_submodule(".".join(names))(images)
            return found
        return project_patches(node, images)

    def _table(self, node: Any, images: Tensor, free: bool) -> Tensor:
        """Learned positions of all tokens, [1, T, E], stretched for images of another size."""
        table: Any = leaf(node, "position")
        s = self.spec
        grid = s.grid_of(*images.shape[2:])
        if not free or grid == s.grid:
            count = s.grid[0] * s.grid[1] + len(s.leads)
            places = torch.arange(count, device=images.device)[None] if s.flat else None
            found: Tensor = table if places is None else table(places)
            return found
        return laid_out(s, rows_of_table(table)[None] if s.flat else table, grid)
