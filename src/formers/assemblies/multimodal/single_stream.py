"""One stack over a text and the patches of a picture behind it: ViLT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from formers.assemblies.single import Single
from formers.nn.passing import Geometry
from formers.stacks.stack import States

_SHOWN = ("hidden_states", "attentions")


class Pictured(Single):
    """A stack whose heads for tokens read the text's states alone, though all are returned."""

    def received(self, states: States, given: Mapping[str, Any]) -> States:
        """The text's states; what callers see of all lies beside them."""
        if states.first_only:
            return states
        ids = given.get("input_ids")
        count = (given["inputs_embeds"] if ids is None else ids).shape[1]
        whole, pass_ = states.layout, states.pass_
        text = whole.columns(count)

        def cut(rows: Tensor) -> Tensor:
            return rows[:, :count] if pass_.watched else text.pack(whole.unpack(rows)[:, :count])

        seen = pass_.visibility.real
        shown = replace(pass_.visibility, real=None if seen is None else seen[:, :count])
        own = replace(
            pass_, geometry=Geometry(text, cut(pass_.geometry.positions)), visibility=shown, trace={}
        )
        rows = states.rows[:, :count] if states.spread_out else cut(states.rows)
        extras = {name: states.kept(name) for name in _SHOWN}
        return States(rows, own, pooled=states.pooled, spread_out=states.spread_out, extras=extras)

    def passed_on(self, states: States) -> dict[str, Any]:
        """What was shown of all states."""
        return {**super().passed_on(states), **states.extras}
