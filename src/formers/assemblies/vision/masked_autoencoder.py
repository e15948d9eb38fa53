"""One stack over the patches of an image that are not hidden: ViT-MAE."""

from __future__ import annotations

from typing import Any

from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput, SomePatchesOutput
from formers.stacks.stack import Ask, Inputs, States


class Masked(Single):
    """As `Single`; which patches are hidden, and where each stands, lies beside the states."""

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """The stack's states, and `mask` and `ids_restore`."""
        states = super()._compute(model, inputs, ask)
        states.extras["mask"], states.extras["ids_restore"] = states.pass_.memo.get("hidden")
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """Last states, what is hidden, and what was asked for."""
        hidden, weights = states.hidden, states.attentions
        return SomePatchesOutput(states.last, **states.extras, hidden_states=hidden, attentions=weights)
