"""Spans that answer the questions that stand in a text as tokens of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import ModelOutput, SpanOutput
from formers.nn.leaves import linear
from formers.nn.losses import cross_entropy, span
from formers.nn.program import Flow, Inner, Step, build, compute, run_inner
from formers.nn.spec import Norm
from formers.nn.steps import Normalise, dense
from formers.nn.tree import leaf
from formers.stacks.stack import States
from formers.tasks.base import TaskModel

_SIDES = ("query_start", "query_end", "start", "end")


@dataclass(frozen=True)
class Spec:
    """A head for spans of questions.

    Attributes:
        question: id of the token that stands for a question.
        padding: position that stands for none, where there are fewer questions than elsewhere.
        node: path of the head.
    """

    question: int
    padding: int
    node: str


class SelectSpans(Step):
    """Every place is scored as a question's first and last (Ram et al. 2021, arXiv:2101.00438, section 3)."""

    adds = attends = True  # its node is told the questions' positions, and returns two results

    def __init__(self, width: int) -> None:
        super().__init__()

        def transform() -> list[Step]:
            norm = Normalise("norm", Norm("layer", 1e-5), width)
            return [dense("dense", width, width, act="gelu", act_role="act"), norm]

        self.inner = {f"{side}_": Inner(transform) for side in _SIDES}
        for side in ("start", "end"):
            self.leaves[f"score_{side}"] = lambda: linear("linear", width, width, bias=False)

    def run(self, node: Any, flow: Flow) -> None:
        """States [N, E] or [B, T, E], questions at `entered` [B, Q] -> two tensors [B, Q, T]."""
        layout, x, at = flow.pass_.layout, flow.x, flow.entered
        assert at is not None
        whole = layout.unpack(x) if x.dim() == 2 else x
        asking = whole.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))  # [B, Q, E]
        found = []
        for side in ("start", "end"):
            asked = leaf(node, f"score_{side}")(run_inner(node, f"query_{side}_", asking, flow))
            places = run_inner(node, f"{side}_", x, flow)
            places = layout.unpack(places) if places.dim() == 2 else places
            found.append(asked @ places.transpose(1, 2))
        flow.x, flow.weights = found


class QuestionSpans(TaskModel):
    """The span that answers the first question of every row, or those of all that are named."""

    _targets = ("start_positions", "end_positions")
    _options = ("question_positions", *TaskModel._options)
    _says = "Find spans. Without `question_positions` the first question's, as [B, T]; else [B, Q, T]."

    def _place_head(self, spec: Spec, config: Any) -> None:
        names = {f"score_{side}": f"{spec.node}.{side}_classifier" for side in ("start", "end")}
        for side in _SIDES:
            parts = {"dense": "dense", "act": "act_fn", "norm": "LayerNorm"}
            names |= {
                f"{side}_{role}": f"{spec.node}.{side}_transform.{path}" for role, path in parts.items()
            }
        build(self, [SelectSpans(self._width())], names)

    def _questions(self, states: States, given: dict[str, Any]) -> Tensor:
        """Where every row's questions stand, [B, Q]."""
        ids, spec = given.get("input_ids"), self._formers.facts["head"]
        if ids is None:
            return torch.zeros(states.layout.batch, 1, dtype=torch.long, device=states.rows.device)
        found: Tensor = (ids == spec.question).long().argmax(1, keepdim=True)
        return found

    def _scores(self, states: States, given: dict[str, Any], at: Tensor) -> tuple[Tensor, Tensor]:
        """Of first and last places, [B, Q, T]; padding has the lowest number."""
        flow = states.flow()
        flow.entered = at
        compute(self, flow)
        start, end, mask = flow.x, flow.weights, given.get("attention_mask")
        assert end is not None
        if mask is not None:
            hidden = (mask == 0)[:, None]
            start, end = (t.masked_fill(hidden, torch.finfo(t.dtype).min) for t in (start, end))
        return start, end

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        named = given.get("question_positions")
        at = self._questions(states, given) if named is None else named
        start, end = self._scores(states, given, at)
        first, last, loss = targets["start_positions"], targets["end_positions"], None
        if first is not None and last is not None:
            loss = self._loss(start.flatten(0, 1), end.flatten(0, 1), first, last, items)
        if named is None and at.shape[1] == 1:
            start, end = start.squeeze(1), end.squeeze(1)
        return self._record(SpanOutput, states, loss, start, end)

    def _loss(self, start: Tensor, end: Tensor, first: Tensor, last: Tensor, items: Any) -> Tensor:
        """Of scores [B * Q, T]."""
        return span(start, end, first, last, items)


class RecurringSpans(QuestionSpans):
    """The spans for which the questions stand: what is hidden of spans that recur (section 2)."""

    _says = "Find the spans of all questions, [B, Q, T]; the loss needs `question_positions`."

    def _questions(self, states: States, given: dict[str, Any]) -> Tensor:
        ids, spec = given.get("input_ids"), self._formers.facts["head"]
        if ids is None:
            raise ValueError("questions are found by their id: pass input_ids, or question_positions [B, Q]")
        found = [row.nonzero().flatten() for row in ids == spec.question]
        if not all(len(row) for row in found):
            raise ValueError(f"every row must hold a question (token {spec.question}), but some have none")
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=spec.padding)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        if given.get("question_positions") is None:
            if any(target is not None for target in targets.values()):
                raise TypeError("positions of spans are those of questions: pass question_positions [B, Q]")
            given["question_positions"] = self._questions(states, given)
        return super()._finish(states, given, targets, items)

    def _loss(self, start: Tensor, end: Tensor, first: Tensor, last: Tensor, items: Any) -> Tensor:
        padding = self._formers.facts["head"].padding
        targets = [t.reshape(-1).clamp(0, start.shape[1] - 1) for t in (first, last)]
        losses = (cross_entropy(x, t, items, padding) for x, t in zip((start, end), targets, strict=True))
        return sum(losses) / 2  # type: ignore[return-value]  # of tensors, which are no numbers to a checker
