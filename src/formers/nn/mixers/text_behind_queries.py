"""Rows of texts behind rows that ask: both see each other, and each kind has what follows to itself.

`spec.Queries` says which are which, `spec.Layer.aside` what those behind go through.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.nn.layout import Layout
from formers.nn.passing import Geometry, Pass
from formers.nn.program import Flow, Step
from formers.nn.tree import wiring

ASKING = "how many rows ask"  # key of a pass's memo
ASIDE = "aside"  # fact of a layer: the program of what is set aside


class SetAside(Step):
    """Go on with the rows that ask alone."""

    def run(self, node: Any, flow: Flow) -> None:
        """[B, T, E], or as rows -> the first Q of each."""
        asking, length = _asking(flow.pass_), flow.pass_.layout.length
        whole = flow.pass_
        if asking in (0, length):
            first, rest = (flow.x[..., :0, :], flow.x) if not asking else (flow.x, None)
        else:
            x = flow.x if flow.x.dim() > 2 else whole.layout.unpack(flow.x)
            first, rest = x[:, :asking], x[:, asking:]
            if not whole.watched:
                first, rest = first.flatten(0, 1), rest.flatten(0, 1)
        flow.aside = (whole, rest)
        flow.x, flow.pass_ = first, whole.memo.once(("asking", asking), lambda: _of_first(whole, asking))


class TakeBack(Step):
    """Compute what was set aside, and put it behind what asked."""

    def run(self, node: Any, flow: Flow) -> None:
        """The first Q rows of each -> [B, T, E], or rows."""
        assert flow.aside is not None
        (whole, rest), first, flow.aside = flow.aside, flow.x, None
        flow.pass_ = whole
        if rest is None:
            return
        flow.x = rest
        for step in wiring(node).facts[ASIDE]:
            step.run(node, flow)
        asking = _asking(whole)
        if not asking:
            return
        if flow.x.dim() > 2:
            flow.x = torch.cat((first, flow.x), dim=1)
            return
        batch = whole.layout.batch
        flow.x = torch.cat([_by_row(part, batch) for part in (first, flow.x)], dim=1).flatten(0, 1)


def _by_row(rows: Tensor, batch: int) -> Tensor:
    return rows.view(batch, -1, rows.shape[-1])


def _asking(pass_: Pass) -> int:
    """How many rows of each ask; of a layer that is called alone all, or none without something to ask."""
    told = pass_.memo.get(ASKING)
    if told is None:
        return 0 if pass_.visibility.encoder is None else pass_.layout.length
    return int(told)


def _of_first(whole: Pass, count: int) -> Pass:
    """The pass of the first rows alone."""
    if count in (0, whole.layout.length):
        return whole
    layout, at = Layout.dense(whole.layout.batch, count), whole.range(0, count)[None]
    positions = at if whole.watched else layout.pack(at.expand(layout.batch, count))
    seen = replace(whole.visibility, real=None, extra=None, bias=None)
    return replace(whole, geometry=Geometry(layout, positions), visibility=seen)
