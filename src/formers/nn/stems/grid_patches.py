"""The stem of pictures and films whose patches lie end to end. See `spec.GridPatches`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.stems.tokens import TokenStem
from formers.nn.tree import Block, Group, descend, leaf, place, wiring


class RowNode(Group):
    """The node that projects patches: [N, numbers of a patch] -> [N, E]."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project every patch."""
        return project_rows(self, hidden_states, True)


def project_rows(node: Any, rows: Tensor, watched: bool) -> Tensor:
    """Patches through a convolution that each of them fills: [N, numbers of a patch] -> [N, E]."""
    patch: Any = leaf(node, "patch")
    rows = rows.to(patch.weight.dtype)
    if watched:
        found: Tensor = patch(rows.view(-1, *patch.weight.shape[1:]))
        return found.flatten(1)
    return F.linear(rows, patch.weight.flatten(1), patch.bias)


def grids_in(given: Any, name: str) -> list[tuple[int, int, int]]:
    """(frames, rows, columns) of every picture or film, from a tensor [pictures, 3], int64.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(given, Tensor) or given.dim() != 2 or given.shape[1] != 3:
        said = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ValueError(
            f"{name} says how many frames, rows and columns of patches each picture has, [pictures, 3], not "
            f"{said}: pass what the processor returns"
        )
    return [(int(t), int(h), int(w)) for t, h, w in given.tolist()]


class GridPatchStem(Stem):
    """See `spec.GridPatches`."""

    inputs: ClassVar = {
        "hidden_states": "[N, numbers of a patch], floating, the patches of all pictures and films.",
        "grid_thw": "[pictures, 3], int64: frames, rows and columns of patches.",
    }
    flat: ClassVar = True

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection, and the table of positions."""
        s = self.spec
        want(names, "patch", *(("position",) if s.side else ()))
        kernel = (s.frames, s.patch, s.patch)
        made = nn.Conv3d(s.channels, s.width, kernel, stride=kernel, bias=s.bias)
        *groups, last = str(names["patch"]).split(".")
        if groups:
            node = RowNode()
            descend(owner, tuple(groups[:-1])).add_module(groups[-1], node)
            place(node, "patch", last, made)
            wiring(owner).roles["patch"] = (*groups, last)
            wiring(owner).facts["patches"] = tuple(groups)
        else:
            place(owner, "patch", last, made)
        if s.side:
            place(owner, "position", str(names["position"]), nn.Embedding(s.side**2, s.width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """One row of all patches.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for patches of another size, or grids that have more or fewer.
        """
        s, rows = self.spec, given.get("hidden_states")
        if not isinstance(rows, Tensor):
            raise TypeError(f"patches are a tensor [N, {s.numbers}], not {type(rows).__name__}")
        if rows.dim() != 2 or rows.shape[1] != s.numbers:
            raise ValueError(f"patches must have shape [N, {s.numbers}] here, not {list(rows.shape)}")
        grids = grids_in(given.get("grid_thw"), "grid_thw")
        count = sum(t * h * w for t, h, w in grids)
        if count != len(rows):
            raise ValueError(
                f"grids {[list(one) for one in grids]} have {count} patches, given are {len(rows)}"
            )
        if any(h % s.merge or w % s.merge for _, h, w in grids):
            raise ValueError(
                f"grids {[list(one) for one in grids]} are no whole blocks of {s.merge} x {s.merge} patches"
            )
        return 1, len(rows)

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Row and column of every patch in its picture, [1, N, 2]."""
        device, merge = given["hidden_states"].device, self.spec.merge
        found = []
        for frames, down, across in given["grid_thw"].tolist():
            places = torch.stack(
                torch.meshgrid(
                    torch.arange(down, device=device), torch.arange(across, device=device), indexing="ij"
                ),
                dim=-1,
            )
            found.append(blocks_of(places, merge).repeat(frames, 1))
        places = torch.cat(found)
        if self.spec.window:
            order = _by_window(given["grid_thw"].tolist(), merge, self.spec.window, device)[0]
            places = _of_blocks(places, order, merge)
        return places[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[N, numbers] -> [N, E], window by window where there are windows."""
        s, rows, grids = self.spec, given["hidden_states"], given["grid_thw"].tolist()
        frames = [down * across for count, down, across in grids for _ in range(count)]
        pass_.memo.put("frames", runs_of(frames, rows.device))
        names = wiring(node).facts.get("patches")
        if names and pass_.watched:
            x: Tensor = node.get_submodule(".".join(names))(rows)
        else:
            x = project_rows(node, rows, pass_.watched)
        if s.window:
            order, sizes = _by_window(grids, s.merge, s.window, rows.device)
            pass_.memo.put("windows", runs_of([size * s.merge**2 for size in sizes], rows.device))
            pass_.memo.put("merged order", torch.argsort(order))
            x = _of_blocks(x, order, s.merge)
        return x if s.side is None else x + self._places(leaf(node, "position"), grids)

    def _places(self, table: Any, grids: list[list[int]]) -> Tensor:
        """The learned positions of every picture's own grid, [N, E]: those of the square, drawn out to it."""
        side, device = self.spec.side, table.weight.device
        indices, weights = list[Tensor](), list[Tensor]()
        for frames, down, across in grids:
            rows, columns = (_between(size, side, device) for size in (down, across))
            index = rows[0][:, None, :, None] * side + columns[0][None, :, None, :]  # [down, across, 2, 2]
            weight = rows[1][:, None, :, None] * columns[1][None, :, None, :]
            for made, one in ((indices, index), (weights, weight)):
                made.append(blocks_of(one.reshape(down, across, 4), self.spec.merge).repeat(frames, 1))
        found: Tensor = (table(torch.cat(indices)) * torch.cat(weights)[..., None]).sum(1)
        return found.to(table.weight.dtype)


def _between(size: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of `size` places along an edge the two of `side` that it lies between, and their weights."""
    at = torch.linspace(0, side - 1, size, device=device)
    low = at.long()
    share = at - low
    return torch.stack((low, (low + 1).clamp(max=side - 1)), 1), torch.stack((1 - share, share), 1)


class ShownTokenStem(TokenStem):
    """See `spec.DeepVisualTokens`."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        "visual_pos_masks": "[B, T], bool, where pictures stand.",
        "deepstack_visual_embeds": "[n, E] for each of the first layers, what is added there behind it.",
    }
    by_row: ClassVar = (*TokenStem.by_row, "visual_pos_masks")

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T; what is shown is numbered, since rows that are packed change places."""
        here = given.get("visual_pos_masks")
        if here is not None and here.dtype is torch.bool and isinstance(given, dict):
            given["visual_pos_masks"] = here.flatten().cumsum(0).view_as(here) * here
        return super().shape(given)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """As tokens; what is added later is noted."""
        here, rows = given.get("visual_pos_masks"), given.get("deepstack_visual_embeds")
        if here is not None and rows is not None:
            pass_.memo.put("added", (here, list(rows)))
        return super().run(node, given, pass_)


def blocks_of(places: Tensor, merge: int) -> Tensor:
    """What stands on a grid, [rows, columns, n], block by block of `merge` x `merge`: [rows * columns, n]."""
    down, across = places.shape[:2]
    cut = places.reshape(down // merge, merge, across // merge, merge, -1)
    return cut.transpose(1, 2).reshape(down * across, -1)


def runs_of(sizes: list[int], device: torch.device) -> Layout:
    """Rows in sequences of those sizes, one after the other."""
    if len(set(sizes)) == 1:
        return Layout(1, sum(sizes), Layout.dense(len(sizes), sizes[0]).spans)
    starts = torch.zeros(1, sum(sizes), dtype=torch.bool, device=device)
    starts[0, [sum(sizes[:i]) for i in range(len(sizes))]] = True
    return Layout.of_starts(starts)


def _by_window(
    grids: list[list[int]], merge: int, edge: int, device: torch.device
) -> tuple[Tensor, list[int]]:
    """Blocks window by window, [blocks], int64, and how many each window of `edge` x `edge` blocks has."""
    windows, before = list[Tensor](), 0
    for frames, down, across in grids:
        rows, columns = (torch.arange(size // merge, device=device) // edge for size in (down, across))
        wide = int(columns[-1]) + 1
        one = (rows[:, None] * wide + columns).flatten()
        for _ in range(frames):
            windows.append(one + before)
            before += wide * (int(rows[-1]) + 1)
    each = torch.cat(windows)
    return torch.argsort(each, stable=True), torch.bincount(each).tolist()


def _of_blocks(rows: Tensor, order: Tensor, merge: int) -> Tensor:
    """Rows [N, ..] whose blocks of `merge` x `merge` stand in another order."""
    return rows.reshape(-1, merge**2, *rows.shape[1:])[order].flatten(0, 1)
