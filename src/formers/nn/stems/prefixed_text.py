"""The stem of texts behind rows that come from elsewhere, such as an image's states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.layout import Layout
from formers.nn.passing import Pass
from formers.nn.program import Flow, build, compute
from formers.nn.recording import size
from formers.nn.spec import Paths
from formers.nn.stems.base import place_stem
from formers.nn.stems.tokens import TokenStem
from formers.nn.steps import Normalise, dense
from formers.nn.tree import Block


class PrefixedTextStem(TokenStem):
    """See `spec.Preceded`."""

    inputs: ClassVar = {
        **TokenStem.inputs,
        "before": "[B, P, source], rows that stand before the tokens.",
        "held": "how many of them a cache holds.",
    }

    by_row = ()

    def place(self, owner: Block, names: Paths) -> None:
        """Register the tokens' leaves in a node of their own, and the layer for rows from elsewhere."""
        beside = {role: path for role, path in names.items() if role.startswith("before")}
        text = {role: path for role, path in names.items() if role not in beside}
        self.node = place_stem(owner, TokenStem(self.spec), text)[0]
        s = self.spec
        build(
            owner,
            [dense("before", s.source, s.width), Normalise("before_norm", s.source_norm, s.width)],
            beside,
        )

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are of both."""
        batch, length = super().shape(given)
        return batch, length + self._count(given)

    @staticmethod
    def _count(given: Mapping[str, Any]) -> int:
        rows = given.get("before")
        return 0 if rows is None else size(rows.shape[1])

    def places(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Those of the text, which counts itself alone; the rows before it have none, and get zeros."""
        count = self._count(given)
        text = Layout.dense(layout.batch, layout.length - count)
        found = super().places(given, text, past - int(given.get("held") or 0), real)
        return nn.functional.pad(found, (count, 0))

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """Both, [N, E], or [B, P + T, E] in a watched pass."""
        told = {name: given[name] for name in TokenStem.inputs if given.get(name) is not None}
        count, at = self._count(given), pass_.geometry.positions
        told["position_ids"] = (at if pass_.watched else pass_.layout.unpack(at))[:, count:]
        x: Tensor = node._modules[self.node](**told)
        if count:
            flow = Flow(given["before"], pass_)
            compute(node, flow)
            x = torch.cat((flow.x, x), dim=1)
        return x if pass_.watched else pass_.layout.pack(x)
