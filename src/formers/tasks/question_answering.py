"""The span of the text that answers a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formers.core.outputs import ModelOutput, SpanOutput
from formers.nn.losses import span
from formers.nn.program import build
from formers.nn.steps import Drop, dense
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.transform import Transform


@dataclass(frozen=True)
class Spec:
    """A head for spans.

    Attributes:
        out: path of the output layer.
        dropout: rate before it; `dropout_path` its module.
        before: what stands before that.
        two_labels: readers of the saved config size the head by its number of labels.
    """

    out: str = "qa_outputs"
    dropout: float = 0.0
    dropout_path: str | None = None
    two_labels: bool = False
    before: Transform = Transform()


class QuestionAnswering(TaskModel):
    """Two logits for every token: the answer begins here, the answer ends here."""

    _targets = ("start_positions", "end_positions")
    _says = "Find spans."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if spec.two_labels:
            config.num_labels = 2
        steps = [Drop("dropout", spec.dropout), dense("out", self._width(), 2)]
        names = {**spec.before.names, "out": spec.out, "dropout": spec.dropout_path}
        build(self, [*spec.before.steps(self._width()), *steps], names)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        # the loss is a softmax over places, padding included
        ask.keep_padding = targets["start_positions"] is not None
        self._shift_inputs(given)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        both = states.spread(self._compute(states, states.rows))  # [B, T, 2]
        start, end = both[..., 0].contiguous(), both[..., 1].contiguous()  # [B, T] each
        first, last, loss = targets["start_positions"], targets["end_positions"], None
        if first is not None and last is not None:
            loss = span(start, end, first, last, items)
        return self._record(SpanOutput, states, loss, start, end)
