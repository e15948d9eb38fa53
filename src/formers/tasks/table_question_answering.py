"""Which cells of a table answer a question, and what is to be done with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from formers.core.outputs import ModelOutput, TableOutput
from formers.nn.fresh import Constant, Normal
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Step, build, compute
from formers.nn.spec import Paths
from formers.nn.steps import Drop
from formers.nn.tree import has, leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.pooling import of_pooler

_NEVER, _TINY = -10_000.0, 1e-10
_COLUMN, _ROW = 1, 2  # kinds of types of a token


@dataclass(frozen=True)
class Spec:
    """A head for tables (Herzig et al. 2020, arXiv:2004.02349, sections 3 and 4). Fields: see the config.

    Attributes:
        names: paths of `cell`, `cell_bias`, `column`, `column_bias`, `operators` and `dropout`.
        rows: of a table at most; `columns` likewise.
        operators: things that can be done with the numbers of cells, the first of which is nothing.
        std: deviation of fresh weights.
    """

    names: Paths
    rows: int
    columns: int
    operators: int
    std: float
    dropout: float
    temperature: float
    operator_temperature: float
    one_column: bool
    no_column: bool
    averaged: bool
    token_loss: bool
    weak: bool
    average: str
    draws_cells: bool
    draws_operators: bool
    normalised: bool
    positive_weight: float
    operator_weight: float
    answer_weight: float
    huber: float | None
    preference: float | None
    cutoff: float | None


class ScoreCells(Step):
    """Two numbers for every token: its cell is chosen, its column is."""

    def __init__(self, width: int, std: float) -> None:
        super().__init__()
        for role in ("cell", "column"):
            self.leaves[role] = lambda: Bare(torch.empty(width), Normal(std) if std else Constant(0.0))
            self.leaves[f"{role}_bias"] = lambda: Bare(torch.zeros(()), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [..], and the columns' beside it."""
        x = flow.x
        flow.x, flow.weights = (
            x @ leaf(node, role) + leaf(node, f"{role}_bias") for role in ("cell", "column")
        )


@dataclass(frozen=True)
class Table:
    """Which token stands in which cell.

    `cell` [B, T] is that of every token, `seen` [B, R * C] the share of every cell's tokens that is read.
    Cells are numbered row by row; the first column and the first row are those of no cell.
    """

    cell: Tensor
    seen: Tensor
    columns: int

    @property
    def column(self) -> Tensor:
        """The column of every cell, [R * C]."""
        return torch.arange(self.seen.shape[1], device=self.seen.device) % self.columns

    def by_cell(self, values: Tensor, how: str = "mean") -> Tensor:
        """[B, T] -> [B, R * C]; zeros for a cell without tokens."""
        empty = values.new_zeros(self.seen.shape)
        return empty.scatter_reduce(1, self.cell, values, how, include_self=False)

    def by_column(self, cells: Tensor) -> Tensor:
        """Sums: [B, R * C] -> [B, C]."""
        return cells.view(cells.shape[0], -1, self.columns).sum(1)

    def by_token(self, cells: Tensor) -> Tensor:
        """[B, R * C] -> [B, T]."""
        return cells.gather(1, self.cell)


class TableQuestionAnswering(TaskModel):
    """A logit for every token, equal within a cell; and one for every operator, where there are some."""

    _targets = ("labels", "aggregation_labels", "float_answer", "numeric_values", "numeric_values_scale")
    _options = ("table_mask", *TaskModel._options)
    _says = "Choose cells. `labels`: [B, T], int64: 1 where a token belongs to the answer, else 0."

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = self._width()
        build(self, [Drop("dropout", spec.dropout), ScoreCells(width, spec.std)], spec.names)
        if spec.operators:
            place(self, "operators", str(spec.names["operators"]), linear("linear", width, spec.operators))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.keep_padding = True  # it stands in the first cell, whose tokens share their mean

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        flow = states.flow()
        compute(self, flow)
        assert flow.weights is not None
        logits, of_columns = states.spread(flow.x) / spec.temperature, states.spread(flow.weights)  # [B, T]
        rows, real, table = _read(spec, given, logits)
        chosen = _columns(spec, of_columns, table) if spec.one_column else None
        operators = None
        if has(self, "operators"):
            operators = project(leaf(self, "operators"), of_pooler(states), None, states.watched)
        if spec.averaged and (targets["labels"] is not None or chosen is None):
            logits = table.by_token(table.by_cell(logits))
        labels, loss, losses = targets["labels"], None, None
        if labels is not None:
            losses = _selection(spec, logits, chosen, labels, table, real)
        if chosen is not None:
            logits = _within(logits, chosen, table)
        if losses is not None:
            mask = given.get("table_mask")
            numbers = (rows > 0 if mask is None else mask).to(logits.dtype)
            loss = _total(spec, losses, logits, operators, targets, numbers)
        passed = self._assembly.passed_on(states)
        return TableOutput(loss, logits, operators, passed["hidden_states"], passed["attentions"])


def _read(spec: Spec, given: dict[str, Any], like: Tensor) -> tuple[Tensor, Tensor, Table]:
    """The row of every token [B, T], which of them are read, and the table."""
    types, mask = given.get("token_type_ids"), given.get("attention_mask")
    zeros = torch.zeros(like.shape, dtype=torch.long, device=like.device)
    rows, columns = (zeros, zeros) if types is None else (types[..., _ROW], types[..., _COLUMN])
    cell = rows.clamp(max=spec.rows - 1) * spec.columns + columns.clamp(max=spec.columns - 1)
    real = torch.ones_like(like) if mask is None else mask.to(like.dtype)
    empty = like.new_zeros(like.shape[0], spec.rows * spec.columns)
    return (
        rows,
        real,
        Table(cell, empty.scatter_reduce(1, cell, real, "mean", include_self=False), spec.columns),
    )


def _columns(spec: Spec, tokens: Tensor, table: Table) -> Tensor:
    """Logits of columns [B, C], from those of tokens; the first stands for none."""
    sums, counts = table.by_column(table.by_cell(tokens) * table.seen), table.by_column(table.seen)
    none = torch.arange(spec.columns, device=tokens.device) == 0
    logits = sums / (counts + _TINY) + _NEVER * ((counts < 0.5) & ~none)
    return logits if spec.no_column else logits + _NEVER * none


def _within(logits: Tensor, chosen: Tensor, table: Table) -> Tensor:
    """Logits of tokens [B, T] that are next to nothing outside of the likeliest column."""
    best = chosen.argmax(-1, keepdim=True)
    inside = (table.column == best) & (table.column != 0)
    return table.by_token(table.by_cell(logits) + _NEVER * (1.0 - table.seen * inside))


def _selection(
    spec: Spec, logits: Tensor, chosen: Tensor | None, labels: Tensor, table: Table, real: Tensor
) -> Tensor:
    """What the choice of cells costs, [B]."""
    if chosen is None:
        weight = torch.where(labels == 0, 1.0, spec.positive_weight)
        each = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
        return (each * weight * real).sum(1) / (real.sum(1) + _TINY)
    count = labels.new_zeros(len(labels), spec.columns).scatter_add(1, table.cell % spec.columns, labels)
    right, none = count.argmax(-1), count.amax(-1) == 0  # the column with most of the answer, or the first
    found = -functional.log_softmax(chosen, -1).gather(1, right[:, None])[:, 0]
    wanted = table.by_cell(labels, "amax").to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(table.by_cell(logits), wanted, reduction="none")
    counted = (table.column == right[:, None]) * table.seen
    within = (each * counted).sum(1) / (counted.sum(1) + _TINY)
    return found + torch.where(none, 0.0, within)


def _total(
    spec: Spec,
    losses: Tensor,
    logits: Tensor,
    operators: Tensor | None,
    targets: dict[str, Any],
    numbers: Tensor,
) -> Tensor:
    """The loss: of cells, and of operators and the answer's number where they are learned."""
    weak = operators is not None and spec.weak
    aggregates = _aggregates(spec, operators, targets) if weak and operators is not None else None
    cells = losses if aggregates is None else losses * (1.0 - aggregates)
    total = cells.mean() if spec.token_loss else losses.new_zeros(())
    if operators is None:
        return total
    if aggregates is None:
        return total + spec.operator_weight * _named(operators, targets["aggregation_labels"]).mean()
    nothing = torch.zeros(len(losses), dtype=torch.long, device=losses.device)
    some = operators.softmax(-1)[:, 1:].sum(1)
    each = _named(operators, nothing) * (1 - aggregates) - torch.log(some) * aggregates
    answer, kept = _answer(spec, logits, operators, aggregates, targets, numbers)
    return total + ((spec.operator_weight * each + answer) * kept).mean()


def _named(operators: Tensor, labels: Tensor | None) -> Tensor:
    """What the choice of operators costs, [B]."""
    if labels is None:
        raise ValueError("operators are learned from what is right: pass aggregation_labels [B]")
    return functional.cross_entropy(operators, labels, reduction="none")


def _aggregates(spec: Spec, operators: Tensor, targets: dict[str, Any]) -> Tensor:
    """Which rows need an operator, [B]: 1.0 for numbers that the model would not just choose."""
    answer, labels = targets["float_answer"], targets["labels"]
    if answer is None or spec.preference is None:
        raise ValueError(
            "where the answer alone is known, pass float_answer [B], and set cell_selection_preference in "
            "the config"
        )
    chooses = operators.softmax(-1)[:, 1:].sum(1) <= spec.preference
    number: Tensor = ~answer.isnan() & ~(chooses & (labels.sum(1) > 0))
    return number.to(operators.dtype).detach()


def _answer(
    spec: Spec,
    logits: Tensor,
    operators: Tensor,
    aggregates: Tensor,
    targets: dict[str, Any],
    numbers: Tensor,
) -> tuple[Tensor, Tensor]:
    """How far the expected number is from the right one, [B], and whether that counts."""
    if targets["numeric_values"] is None or targets["numeric_values_scale"] is None:
        raise ValueError(
            "the answer's number is learned: pass numeric_values and numeric_values_scale [B, T]"
        )
    expected = _expected(spec, logits, operators, targets, numbers)
    wanted, delta = targets["float_answer"].nan_to_num(), spec.huber
    if spec.normalised:
        largest = (torch.maximum(expected.abs(), wanted.abs()) + _TINY).detach()
        expected, wanted, delta = expected / largest, wanted / largest, 1.0
    if delta is None:
        raise ValueError("set huber_loss_delta in the config, or use_normalized_answer_loss=True")
    found = functional.huber_loss(expected * aggregates, wanted * aggregates, reduction="none", delta=delta)
    kept = torch.ones_like(found) if spec.cutoff is None else (found <= spec.cutoff).to(found.dtype)
    return spec.answer_weight * found * aggregates, kept


def _expected(
    spec: Spec, logits: Tensor, operators: Tensor, targets: dict[str, Any], numbers: Tensor
) -> Tensor:
    """The number to expect, [B]: sum, average and count of the cells, by how likely each operator is."""
    draw = torch.distributions
    share = logits.sigmoid()
    if spec.draws_cells:
        rate = logits.new_tensor(spec.temperature)
        share = draw.RelaxedBernoulli(rate, logits=logits * spec.temperature).sample()  # type: ignore[no-untyped-call]  # torch's own
    share = share / targets["numeric_values_scale"] * numbers  # [B, T]
    values = targets["numeric_values"].nan_to_num()
    count, total = share.sum(1), (share * values).sum(1)
    if spec.average == "ratio":
        average = total / (count + _TINY)
    else:
        others = share.sum(1, keepdim=True) - share + 1
        factor = 1 / others
        if spec.average == "second_order":
            varies = share * (1 - share)
            factor = ((varies.sum(1, keepdim=True) - varies) / others.square() + 1) / others
        average = (values * share * factor).sum(1)
    likely = (operators[:, 1:] / spec.operator_temperature).softmax(-1)
    if spec.draws_operators:
        rate = logits.new_tensor(spec.operator_temperature)
        likely = draw.RelaxedOneHotCategorical(rate, logits=operators[:, 1:]).sample()  # type: ignore[no-untyped-call]  # torch's own
    return (torch.stack((total, average, count), 1) * likely).sum(1)
