"""One label for a whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from formers.core.outputs import ModelOutput, TaughtOutput
from formers.nn.program import Step, build
from formers.nn.steps import First, Flatten, Project
from formers.nn.tree import leaf, place
from formers.stacks.stack import States
from formers.tasks.base import TaskModel
from formers.tasks.sequence_classification import SequenceClassification, Spec


class ImageClassification(SequenceClassification):
    """The class token's state, and one logit per label; without labels the state itself."""

    _unread_inputs = ("bool_masked_pos",)
    _says = "Classify images. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if self._count(config):
            super()._place_head(spec, config)
        else:
            self.num_labels = 0
            first: list[Step] = [First()] if spec.pool == "first" else []
            first += [Flatten("flat")] if spec.flat else []
            build(self, [*first, Project("out", nn.Identity)], spec.names())


@dataclass(frozen=True)
class TaughtSpec:
    """Two output layers, over the first token and the second.

    Attributes:
        out: path of the first; `taught` of the second, which learned from another model.
    """

    out: str
    taught: str


class TaughtImageClassification(TaskModel):
    """Logits of the first token and of the second, and their mean."""

    _targets = ()
    _options = ("return_dict",)
    _unread_inputs = ("bool_masked_pos",)
    _says = "Classify images, as the labels and another model taught it; without a loss."

    def _place_head(self, spec: TaughtSpec, config: Any) -> None:
        self.num_labels = int(config.num_labels)
        for role in ("out", "taught"):
            made = nn.Linear(self._width(), self.num_labels) if self.num_labels else nn.Identity()
            place(self, role, getattr(spec, role), made)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        first, second = (leaf(self, role)(states.last[:, i]) for i, role in enumerate(("out", "taught")))
        logits = (first + second) / 2
        return TaughtOutput(logits, first, second, states.hidden, states.attentions)
