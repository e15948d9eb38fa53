"""The stem of a decoder that predicts several tokens at once: tokens, and streams behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.layout import Layout
from formers.nn.leaves import rows_of_table
from formers.nn.passing import Pass
from formers.nn.spec import FutureTokenStreams, Paths
from formers.nn.stems.base import want
from formers.nn.stems.tokens import TokenStem
from formers.nn.tree import Block, leaf, place


class FutureTokensStem(TokenStem):
    """See `spec.FutureTokenStreams`."""

    spec: FutureTokenStreams

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tables, norm and dropout."""
        super().place(owner, names)
        want(names, "stream")
        place(owner, "stream", str(names["stream"]), nn.Embedding(self.spec.streams, self.spec.width))

    def widened(self, pass_: Pass) -> Pass:
        """The pass over tokens and streams; what it says of keys is said of tokens."""
        layout = pass_.layout
        wide = Layout.dense(layout.batch, (1 + self.spec.streams) * layout.length)
        return replace(pass_, geometry=replace(pass_.geometry, layout=wide))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Ids and positions [N] (or [B, T]) -> [B * (1 + n) * T, E] (or [B, (1 + n) * T, E])."""
        layout, at = pass_.layout, pass_.geometry.positions
        vectors = given.get("inputs_embeds")
        x = self._vectors(node, given.get("input_ids")) if vectors is None else vectors
        x = (x + leaf(node, "position")(at)).view(layout.batch, layout.length, -1)
        ahead = self._ahead(node, at.view(-1, layout.length) + 1)  # [1 or B, T, E]
        streams = rows_of_table(leaf(node, "stream")).roll(1, 0)
        parts = [(stream + ahead).expand_as(x) for stream in streams]
        x = leaf(node, "embedding_norm")(torch.cat((x, *parts), dim=1))
        return self._dropped(node, x if pass_.watched else x.flatten(0, 1))

    def _ahead(self, node: Any, at: Tensor) -> Tensor:
        """The vectors of positions, read from the table's rows: nobody sees its leaf called for them."""
        table = leaf(node, "position")
        return nn.functional.embedding(at, table.weight) if type(table) is nn.Embedding else table(at)
