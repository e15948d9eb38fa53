"""The span of the text that answers a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput, SpanOutput
from formers.nn.losses import span
from formers.nn.mixers import part_steps
from formers.nn.program import build
from formers.nn.spec import Part, Paths
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

    def _scores(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, T, 2]."""
        return states.spread(self._compute(states, states.rows))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        both = self._scores(states, given)
        start, end = both[..., 0].contiguous(), both[..., 1].contiguous()  # [B, T] each
        first, last, loss = targets["start_positions"], targets["end_positions"], None
        if first is not None and last is not None:
            loss = span(start, end, first, last, items)
        return self._record(SpanOutput, states, loss, start, end)


@dataclass(frozen=True)
class AfterSpec:
    """A head for spans behind a question.

    Attributes:
        part: what stands before the output layer; `paths` of its roles, of `dropout` and of `out`.
        dropout: rate before what it reads.
        ends: id of the token that ends the question, where nobody says how long that is.
    """

    part: Part
    paths: Paths
    dropout: float = 0.0
    ends: int | None = None


class AfterQuestion(QuestionAnswering):
    """The same, where the question holds no answer: the first token stands for none."""

    _options = ("question_lengths", *TaskModel._options)
    _says = "Find spans. `question_lengths`: [B, 1], where the first separator does not end the question."

    def _place_head(self, spec: AfterSpec, config: Any) -> None:  # type: ignore[override]  # each its own spec
        config.num_labels = 2
        begin, *steps = part_steps(spec.part, self._width())
        steps = [begin, Drop("dropout", spec.dropout), *steps, dense("out", self._width(), 2)]
        build(self, steps, spec.paths)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        super()._prepare(given, targets, ask)
        ids, vectors, lengths = (given.get(n) for n in ("input_ids", "inputs_embeds", "question_lengths"))
        if lengths is None and ids is not None:
            lengths = (ids == self._formers.facts["head"].ends).long().argmax(1) + 1
        rows = vectors if ids is None else ids
        if lengths is None or rows is None:
            return
        at = torch.arange(rows.shape[1], device=rows.device)
        asked = given["question_lengths"] = at < lengths.to(rows.device).view(-1, 1)  # [B, T]
        if given.get("token_type_ids") is None:
            given["token_type_ids"] = (~asked).long()

    def _scores(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, T, 2], far below all others within the question."""
        scores = super()._scores(states, given)
        asked: Tensor | None = given.get("question_lengths")
        if asked is None:
            return scores
        first = torch.arange(asked.shape[1], device=asked.device) == 0
        return scores - 1e6 * (asked & ~first)[..., None]
