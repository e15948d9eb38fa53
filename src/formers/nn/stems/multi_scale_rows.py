"""The stem of rows of several maps, and of rows that ask such: where they stand in each map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.box_refinement import Refining
from formers.nn.fresh import Constant, begins
from formers.nn.map_positions import box_waves
from formers.nn.mixers.attention import Memory
from formers.nn.mixers.deformable import Looked, Sizes
from formers.nn.passing import Pass
from formers.nn.perceptron import Perceptron
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.vectors import VectorStem
from formers.nn.tree import Block, has, leaf, place


class MapRows(VectorStem):
    """See `spec.MultiScaleRows`. Places of maps are centres of cells, those that ask where callers say."""

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
        s: spec.MultiScaleRows = self.spec
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

    def place(self, owner: Block, names: Paths) -> None:
        """What makes places of where queries stand."""
        s: spec.MultiScaleRows = self.spec
        if s.places == "given":
            return
        want(names, "query_places")
        boxes, width = s.places == "boxes", s.width
        widths = (4, 2 * width, width) if boxes else (2 * width, width, width)
        made = Perceptron(*widths)
        if not boxes:  # at first nothing stands beside them
            begins(made.layers[-1], weight=Constant(0.0), bias=Constant(0.0))
        place(owner, "query_places", str(names["query_places"]), made)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks. The pass holds where they stand, or what follows that."""
        s: spec.MultiScaleRows = self.spec
        sizes, ratios = given["spatial_shapes_list"], given.get("valid_ratios")
        if not s.asks:
            pass_.memo.put("looked", Looked(sizes, middles(sizes, ratios, given["inputs_embeds"])))
            return super().run(node, given, pass_)
        start: Tensor = given["reference_points"]
        boxes, labels = (node._modules.get(name) for name in (s.boxes, s.labels))
        follow = Refining(
            start.sigmoid() if s.logits else start,
            *(sizes, ratios, self._places(node), boxes, labels),
            norm=leaf(node, "final_norm") if has(node, "final_norm") else None,
            learns=s.learns,
        )
        pass_.memo.put("follow", follow)
        return super().run(node, given, pass_)

    def _places(self, node: Any) -> Callable[[Tensor], Tensor] | None:
        """What stands beside queries, by where they stand in all maps, [B, T, L or 1, 4] -> [B, T, E]."""
        s: spec.MultiScaleRows = self.spec
        if s.places == "given":
            return None

        def made(at: Tensor) -> Tensor:
            first = at[:, :, 0]
            found: Tensor = leaf(node, "query_places")(
                first if s.places == "boxes" else box_waves(first, s.width // 2)
            )
            return found

        return made


class GroundedRows(MapRows):
    """See `spec.GroundedQueries`."""

    inputs: ClassVar = {
        **MapRows.inputs,
        "text_encoder_hidden_states": "[B, W, E], words, which rows that ask read too.",
        "text_encoder_attention_mask": "[B, W], 1 at words that are no padding.",
    }

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the rows."""
        found, words = super().shape(given), given.get("text_encoder_hidden_states")
        if not isinstance(words, Tensor) or words.dim() != 3 or len(words) != found[0]:
            is_ = list(words.shape) if isinstance(words, Tensor) else type(words).__name__
            raise ValueError(f"text_encoder_hidden_states must have shape [{found[0]}, W, E], not {is_}")
        real = given.get("text_encoder_attention_mask")
        if real is not None and real.shape != words.shape[:2]:
            raise ValueError(
                f"text_encoder_attention_mask must have shape {list(words.shape[:2])}, not {list(real.shape)}"
            )
        return found

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """As `MapRows`; the pass holds the words too."""
        real = given.get("text_encoder_attention_mask")
        words = Memory(given["text_encoder_hidden_states"], None if real is None else real.bool())
        pass_.memo.put("text", words)
        return super().run(node, given, pass_)


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
