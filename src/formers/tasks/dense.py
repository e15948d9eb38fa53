"""A label, or a depth, for every pixel of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from formers.core.outputs import DepthOutput, ModelOutput, TaskOutput
from formers.nn.dense import DECODERS
from formers.nn.dense.losses import log_depth, semantic
from formers.nn.tree import leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of maps.

    Attributes:
        parts: path -> what stands there, a record of `spec.dense`; each reads what the one before it made.
        ignore: the label of pixels that have none.
    """

    parts: tuple[tuple[str, Any], ...]
    ignore: int = 255


class DenseTask(TaskModel):
    """What a decoder makes of the maps of all stages."""

    _options = ("return_dict",)

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        for i, (path, part) in enumerate(spec.parts):
            place(self, f"part{i}", path, DECODERS[type(part)](part))

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With the maps, which callers see only where they asked for hidden states."""
        states = super()._states(given, replace(ask, hidden=True))
        maps = states.hidden
        if not ask.hidden:
            states.pass_.trace.pop("hidden_states", None)
        states.extras["maps"] = maps
        return states

    def _decoded(self, states: States) -> Tensor:
        """What the last part makes."""
        spec, x = self._formers.facts["head"], states.extras["maps"]
        for i in range(len(spec.parts)):
            x = leaf(self, f"part{i}")(x)
        found: Tensor = x
        return found


class SemanticSegmentation(DenseTask):
    """A label for every pixel."""

    _says = "Label every pixel. `labels`: [B, height, width] int64; one of them may mean that there is none."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels, loss = self._decoded(states), targets["labels"], None
        if labels is not None:
            loss = semantic(logits, labels, self._formers.facts["head"].ignore)
        return TaskOutput(loss, logits, hidden_states=states.hidden, attentions=states.attentions)


class DepthEstimation(DenseTask):
    """A depth for every pixel."""

    _says = "Estimate depths. `labels`: [B, height, width] floating, 0 where they are unknown."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        depths, labels = self._decoded(states), targets["labels"]
        loss = None if labels is None else log_depth(depths, labels)
        return DepthOutput(loss, depths, states.hidden, states.attentions)
