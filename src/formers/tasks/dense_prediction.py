"""A label, or a depth, for every pixel of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import DepthOutput, ModelOutput, TaskOutput
from formers.nn.losses import log_depth, semantic
from formers.nn.nets.multi_scale import enlarged
from formers.nn.nets.tree import compute, fill
from formers.nn.spec import nets
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A decoder of maps.

    Attributes:
        parts: name -> a record of `spec.nets`.
        run: what happens to the maps, in order; all parts, where nothing else is said.
        aside: the same of what the last of those steps reads, for a second loss, which counts `share`.
        chosen: numbers of the hidden states that are read; None for all, or for the maps of a backbone.
        patch: height and width of a patch: the steps are told how many a picture has down and across.
        whole: labels' logits are as large as the picture.
        ignore: the label of pixels that have none.
        trained: there is a loss.
    """

    parts: Mapping[str, Any]
    run: tuple[nets.Run, ...] = ()
    aside: tuple[nets.Run, ...] = ()
    share: float = 0.0
    chosen: tuple[int, ...] | None = None
    patch: tuple[int, int] | None = None
    whole: bool = False
    ignore: int = 255
    trained: bool = True


class DenseTask(TaskModel):
    """What a decoder makes of the maps of all stages."""

    _options = ("return_dict",)
    _flat_pooler = False

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        fill(self, nets.Node(spec.parts))

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """With the maps, which callers see only where they asked for hidden states."""
        states = super()._states(given, replace(ask, hidden=True))
        spec: Spec = self._formers.facts["head"]
        first = states.extras.pop("intermediate_activations", ())
        states.extras.setdefault("maps", (*first, *(states.hidden or ())))
        if not ask.hidden:
            states.pass_.trace.pop("hidden_states", None)
        if spec.chosen is not None:
            states.extras["maps"] = tuple(states.extras["maps"][i] for i in spec.chosen)
        return states

    def _decoded(self, states: States, given: dict[str, Any], aside: bool = False) -> list[Tensor]:
        """What the last step makes; and, if wanted, what is made aside."""
        spec: Spec = self._formers.facts["head"]
        run, size = spec.run or tuple(spec.parts), given["pixel_values"].shape[2:]
        if spec.patch is not None:
            size = tuple(side // edge for side, edge in zip(size, spec.patch, strict=True))
        *first, last = run
        maps = tuple(
            one.contiguous(memory_format=torch.channels_last) if one.dim() == 4 else one
            for one in states.extras["maps"]
        )
        x = compute(self, first, maps, [], None, size)
        made = [compute(self, (last,), x, [], None, size)]
        if spec.aside and (aside or states.watched):
            made.append(compute(self, spec.aside, x, [], None, size))
        return [one.contiguous() for one in made]


class SemanticSegmentation(DenseTask):
    """A label for every pixel."""

    _says = "Label every pixel. `labels`: [B, height, width] int64; one of them may mean that there is none."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        labels, loss = targets["labels"], None
        logits, *aside = self._decoded(states, given, aside=labels is not None)
        if spec.whole:
            logits, *aside = (enlarged(one, given["pixel_values"].shape[2:]) for one in (logits, *aside))
        if labels is not None:
            loss = semantic(logits, labels, spec.ignore)
            for one in aside:
                loss = loss + spec.share * semantic(one, labels, spec.ignore)
        return TaskOutput(loss, logits, hidden_states=states.hidden, attentions=states.attentions)


class DepthEstimation(DenseTask):
    """A depth for every pixel."""

    _says = "Estimate depths. `labels`: [B, height, width] floating, 0 where they are unknown."

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        (depths,), labels = self._decoded(states, given), targets["labels"]
        if labels is not None and not self._formers.facts["head"].trained:
            raise ValueError(
                f"{type(self).__name__} has no loss of its own: leave the labels out, and compute one from "
                "predicted_depth"
            )
        loss = None if labels is None else log_depth(depths, labels)
        return DepthOutput(loss, depths, states.hidden, states.attentions)
