"""Stages over maps: SegFormer, GLPN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from formers.assemblies.base import states_in
from formers.assemblies.single import Single
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.tree import leaf
from formers.nn.watch import watched
from formers.stacks.hierarchical import StagesNode, place_stages, run_stages, shown
from formers.stacks.stack import Ask, States


class Hierarchical(Single):
    """See `spec.Stages`. Its hidden states are maps, [B, E, height, width], of every stage."""

    def __init__(self, stages: Callable[[Any], spec.Stages]) -> None:
        super().__init__(lambda config: stages(config).stacks[-1], spec.Overlapping, reads=("pixel_values",))
        self.stages = stages

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the stages on the model itself.

        Raises:
            TypeError: for options of other models of images.
        """
        if pooler or masked:
            raise TypeError(f"add_pooling_layer and use_mask_token are not for {config.model_type!r} models")
        place_stages(model, self.stages(config))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Read pixels and compute."""
        node: Any = leaf(model, "stages")
        given.setdefault("pixel_values", None)  # the first stage says what it wants
        ask.padded = watched(model) if ask.padded is None else ask.padded
        if not ask.padded and isinstance(node, StagesNode):
            return run_stages(node, given["pixel_values"], ask, model.gradient_checkpointing)
        own = (
            {"ask": ask, "checkpointing": model.gradient_checkpointing}
            if isinstance(node, StagesNode)
            else {}
        )
        return self.received(states_in(node(given["pixel_values"], **own)), given)

    def received(self, states: States, given: Mapping[str, Any]) -> States:
        """A map as rows; the pass holds its height and width as `map`."""
        if states.rows.dim() != 4:
            return states
        rows = states.rows.flatten(2).transpose(1, 2)
        found = states_in(BaseModelOutput(rows, hidden_states=states.hidden, attentions=states.attentions))
        found.pass_.memo.put("map", tuple(states.rows.shape[2:]))
        return found

    def output(self, model: Any, states: States) -> ModelOutput:
        """The last map, and what was asked for."""
        last = shown(leaf(model, "stages"), states)
        return BaseModelOutput(last, hidden_states=states.hidden, attentions=states.attentions)
