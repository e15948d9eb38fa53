"""A label for every token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import cross_entropy
from formers.nn.program import build
from formers.nn.steps import Drop, dense
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel, labels_on_padding
from formers.tasks.transform import Transform


@dataclass(frozen=True)
class Spec:
    """A head for tokens.

    Attributes:
        out: path of the output layer.
        dropout: rate before it; `dropout_path` its module.
        before: what stands before that.
        outer: path of a dropout before all of this, of the same rate; None for none.
    """

    out: str
    dropout: float = 0.0
    dropout_path: str | None = "dropout"
    before: Transform = Transform()
    outer: str | None = None


class TokenClassification(TaskModel):
    """One logit per label for every token."""

    _says = "Label tokens. `labels`: [B, T], int64, -100 where there is none."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = config.num_labels
        first = [Drop("outer", spec.dropout)] if spec.outer else []
        steps = [Drop("dropout", spec.dropout), dense("out", self._width(), config.num_labels)]
        names = {**spec.before.names, "out": spec.out, "dropout": spec.dropout_path, "outer": spec.outer}
        build(self, [*first, *spec.before.steps(self._width()), *steps], names)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        self._shift_inputs(given)
        ask.keep_padding = labels_on_padding(targets["labels"], given.get("attention_mask"))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = states.spread(self._compute(states, states.rows))  # [B, T, C]
        labels = targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)
