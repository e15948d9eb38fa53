"""The stem of rows of several maps, and of rows that ask such: where they stand in each map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.deformable import Looked, Sizes
from formers.nn.passing import Pass
from formers.nn.stems.vectors import VectorStem


class MapRows(VectorStem):
    """See `spec.OnMaps`. Places of maps stand in the middle of cells, rows that ask where callers say."""

    inputs: ClassVar = {
        **VectorStem.inputs,
        "spatial_shapes_list": "height and width of each map, in order.",
        "valid_ratios": "[B, L, 2], which share of each map's width and height is no padding.",
        "reference_points": "[B, T, 2 or 4], where rows that ask stand: points (x, y), or boxes (centre x, "
        "centre y, width, height), as shares of what is no padding.",
    }

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the rows."""
        found = super().shape(given)
        s: spec.OnMaps = self.spec
        sizes = given.get("spatial_shapes_list")
        if not sizes:
            raise ValueError("spatial_shapes_list says height and width of each map; it is missing")
        count, asked = sum(height * width for height, width in sizes), given.get("encoder_hidden_states")
        rows = found[1] if not s.asks else count if asked is None else asked.shape[1]
        if rows != count:
            raise ValueError(f"maps of {count} places have as many rows, not {rows}")
        wanted = {"valid_ratios": (found[0], len(sizes), (2,)), "reference_points": (*found, (2, 4))}
        for name, (*lead, last) in wanted.items():
            told = given.get(name)
            if told is None and not (s.asks and name == "reference_points"):
                continue
            if not isinstance(told, Tensor) or [*told.shape[:-1]] != lead or told.shape[-1] not in last:
                shape = [*lead, *last] if len(last) == 1 else [*lead, "2 or 4"]
                is_ = list(told.shape) if isinstance(told, Tensor) else type(told).__name__
                raise ValueError(f"{name} must have shape {shape}, not {is_}")
        return found

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks. The pass holds where they stand."""
        sizes, ratios = given["spatial_shapes_list"], given.get("valid_ratios")
        if self.spec.asks:
            at = standing_at(given["reference_points"], ratios)
        else:
            at = middles(sizes, ratios, given["inputs_embeds"])
        pass_.memo.put("looked", Looked(sizes, at))
        return super().run(node, given, pass_)


def standing_at(points: Tensor, ratios: Tensor | None) -> Tensor:
    """Shares of what is no padding, [B, T, 2 or 4], as shares of each map: [B, T, L or 1, 2 or 4]."""
    if ratios is None:
        return points[:, :, None]
    return points[:, :, None] * torch.cat((ratios,) * (points.shape[-1] // 2), -1)[:, None]


def middles(sizes: Sizes, ratios: Tensor | None, like: Tensor) -> Tensor:
    """Middles of the cells of all maps, in every map: [B or 1, S, L, 2], of the ratios' dtype.

    Args:
        sizes: of the maps.
        ratios: [B, L, 2], which share of each map's width and height is no padding; None for all of it.
        like: says device and dtype where there are no ratios.
    """
    if ratios is None:
        ratios = torch.ones(1, len(sizes), 2, device=like.device, dtype=like.dtype)
    found = []
    for level, (height, width) in enumerate(sizes):
        down, across = (
            torch.linspace(0.5, count - 0.5, count, dtype=ratios.dtype, device=ratios.device)
            for count in (height, width)
        )
        y = down[None] / (ratios[:, level, 1, None] * height)  # [B, height]
        x = across[None] / (ratios[:, level, 0, None] * width)
        grid = torch.stack((x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)), -1)
        found.append(grid.flatten(1, 2))
    return torch.cat(found, 1)[:, :, None] * ratios[:, None]
