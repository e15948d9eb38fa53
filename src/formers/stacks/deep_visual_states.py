"""States of a model of pictures at several depths, added to those of a text model (arXiv:2406.04334)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from formers.nn import spec
from formers.nn.passing import Pass
from formers.nn.pooling import merged_steps
from formers.nn.program import Flow, build_row, compute
from formers.nn.tree import Block, wiring


def place_taps(block: Block, s: spec.Stack) -> None:
    """Register what reads the states behind some layers."""
    if not isinstance(s.pooler, spec.Merged) or not s.pooler.taps:
        return
    steps = [merged_steps(s.pooler.tapped, s.width, "tap") for _ in s.pooler.taps]
    paths = {role: path for role, path in s.names.stack.items() if role.startswith("tap_")}
    where = type(block).__name__
    rows = [build_row(block, one, paths, where, i) for i, one in enumerate(steps)]
    wiring(block).facts["taps"] = dict(zip(s.pooler.taps, rows, strict=True))


def note_taps(block: Block, pass_: Pass) -> list[Tensor]:
    """Let the layers of a pass be tapped; what comes of it is appended to the list."""
    found: list[Tensor] = []
    pass_.memo.put("taps", (wiring(block).facts.get("taps") or {}, found))
    return found


def at_depth(x: Tensor, index: int, pass_: Pass) -> Tensor:
    """What a layer gives, with what is added behind it; and what is read there is kept."""
    taps: tuple[Mapping[int, Any], list[Tensor]] | None = pass_.memo.get("taps")
    if taps is not None and index in taps[0]:
        flow = Flow(x, pass_)
        compute(taps[0][index], flow)
        taps[1].append(flow.x)
    added: tuple[Tensor, list[Tensor]] | None = pass_.memo.get("added")
    if added is not None and index < len(added[1]):
        numbers, here = added[0], added[0] > 0
        x = x.masked_scatter(here[..., None], x[here] + added[1][index].to(x)[numbers[here] - 1])
    return x
