"""The stem of rows that callers make, with places beside them: a map's features, and queries for objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.dropout import drop
from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem
from formers.nn.tree import Block

_MAP, OWN = "spatial_position_embeddings", "object_queries_position_embeddings"


class VectorStem(Stem):
    """See `spec.Vectors`."""

    inputs: ClassVar = {
        "inputs_embeds": "[B, T, E], the rows.",
        "attention_mask": "[B, T], 1 at rows that count.",
        "encoder_hidden_states": "[B, S, E], what is asked: cross attention reads it.",
        "encoder_attention_mask": "[B, S], 1 at what may be read of it.",
        _MAP: "the map's places, [B, T, E], or [B, S, E] where a map is asked.",
        OWN: "places of rows that ask, [B, T, E].",
    }
    by_row = ("inputs_embeds",)

    def place(self, owner: Block, names: Paths) -> None:
        """Nothing: callers make the rows."""

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the rows."""
        s: spec.Vectors = self.spec
        rows = given.get("inputs_embeds")
        if not isinstance(rows, Tensor) or rows.dim() != 3 or rows.shape[2] != s.width:
            found = list(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise ValueError(f"the stack reads inputs_embeds as a tensor [B, T, {s.width}], not {found}")
        asked = given.get("encoder_hidden_states")
        sizes = {_MAP: asked, OWN: rows} if s.asks else {_MAP: rows}
        for name, like in sizes.items():
            beside = given.get(name)
            if beside is not None and like is not None and beside.shape != like.shape:
                raise ValueError(f"{name} must have shape {list(like.shape)}, not {list(beside.shape)}")
        return size(rows.shape[0]), size(rows.shape[1])

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: where a row stands is said beside it."""
        return torch.arange(layout.length, device=given["inputs_embeds"].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E]; [N, E] where nobody looks. The pass holds the places likewise."""
        s: spec.Vectors = self.spec
        beside = given.get(OWN if s.asks else _MAP)
        if beside is not None:
            pass_.memo.put("places", beside if pass_.watched else pass_.layout.pack(beside))
        if s.asks:
            pass_.memo.put("encoder places", given.get(_MAP))
        x: Tensor = given["inputs_embeds"]
        return drop(x, s.dropout) if s.dropout and node.training else x
