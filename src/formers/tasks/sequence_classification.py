"""One label, several labels or a number for a whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import classification
from formers.nn.nets.steps import Averaged
from formers.nn.pages import ENTERED
from formers.nn.program import Step, build, compute
from formers.nn.recording import recording
from formers.nn.spec import nets
from formers.nn.steps import Column, Drop, First, Flatten, Mean, dense
from formers.nn.tree import wiring
from formers.nn.watch import looks_back
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel
from formers.tasks.pooling import Pool, pooled
from formers.tasks.transform import Transform

_COLUMNS = ("left", "right", "all")  # whatever they hold
# steps of the head itself; the last one follows its output layer
_POOLS: dict[str, Callable[[], Step]] = {
    "first": First,
    "mean": Mean,
    "late": Mean,
    **{which: partial(Column, which) for which in _COLUMNS},
}


@dataclass(frozen=True)
class Spec:
    """A head for sequences.

    Attributes:
        out: path of the output layer; None where what stands before it makes the logits.
        dense: path of a layer before it, or None; `act` follows that.
        inner: width of what that layer makes, where that is not E.
        pool: which vector stands for a sequence: the stack's pooler, its first token, the mean of all or of
            the rest, that beside the first (`joined`, [B, 2 E]), its last real token, or the last
            end-of-sequence token; `late`: every token's logits are computed, and their mean is taken; or,
            whatever they hold, the first or last column, or the mean of all; `maps`: the mean of all places
            of a map; `page`: the first token beside the mean of the rows of a page's picture as they entered,
            and as they are at last, [B, 3 E].
        node: node of the tree that takes the states of all tokens and chooses the first itself.
        act: activation after `dense`; `act_path` its node, or None.
        dropout: rate before the output layer.
        dropout_path: its module, or None.
        drop_first: dropout also stands before `dense`.
        pool_dropout: rate before what stands there; `pool_dropout_path` its module.
        idle: paths of what stands before `dense` and does nothing.
        bias: the output layer has a bias.
        before: what stands before the dropout, in place of `dense` and `act`.
        lead: tokens that are not counted among the rest.
        flat: path of what makes vectors of maps of one place.
        norm: spec of the norm before the mean of `maps`; `norm_path` its module.
    """

    out: str | None
    dense: str | None = None
    inner: int | None = None
    pool: Pool = "pooler"
    node: str | None = None
    act: str | None = None
    act_path: str | None = None
    dropout: float = 0.0
    dropout_path: str | None = None
    drop_first: bool = False
    pool_dropout: float = 0.0
    pool_dropout_path: str | None = None
    idle: tuple[str, ...] = ()
    bias: bool = True
    before: Transform | None = None
    lead: int = 1
    flat: str | None = None
    norm: nets.GroupNorm | None = None
    norm_path: str | None = None

    @property
    def transform(self) -> Transform:
        """What stands before the dropout."""
        return self.before or Transform(self.dense, self.act, self.act_path)

    def steps(self, width: int, labels: int) -> list[Step]:
        """[B, E] -> [B, C]; [B, T, E] where a node chooses the first token."""
        pool: list[Step] = [_POOLS[self.pool]()] if self.pool in _POOLS else []
        pool += [Averaged("norm", self.norm)] if self.norm is not None else []
        steps, last = ([], pool) if self.pool == "late" else (pool, [])
        drop = Drop("dropout", self.dropout)
        steps += [Flatten("flat")] if self.flat else []
        steps += [Drop("pool_dropout", self.pool_dropout)] if self.pool_dropout_path else []
        steps += [drop] if self.drop_first else []
        steps += [Drop(f"idle_{path}", 0.0) for path in self.idle]
        steps += [*self.transform.steps(width, self.inner), drop]
        if self.out is not None:
            read = {"joined": 2, "page": 3}.get(self.pool, 1) * width
            steps.append(dense("out", self.inner or read, labels, bias=self.bias))
        return steps + last

    def names(self) -> dict[str, str | None]:
        """Role -> path."""
        own = {
            "out": self.out,
            "flat": self.flat,
            "dropout": self.dropout_path,
            "pool": self.node or "",
        }
        before = {"pool_dropout": self.pool_dropout_path, **{f"idle_{path}": path for path in self.idle}}
        normed = {"norm": self.norm_path} if self.norm is not None else {}
        return {**self.transform.names, **own, **before, **normed}


class SequenceClassification(TaskModel):
    """A vector per sequence, an optional dense layer, and one logit per label."""

    _says = "Classify sequences. `labels`: [B] int64, or [B] or [B, C] floating; see `nn.losses`."

    def _count(self, config: Any) -> int:
        """Logits for each sequence."""
        return int(config.num_labels)

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = self._count(config)
        build(self, spec.steps(self._width(), self.num_labels), spec.names())

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        spec = self._formers.facts["head"]
        ask.first_only = spec.pool in ("pooler", "first") and not looks_back(ask.hidden)
        mask = given.get("attention_mask")
        ask.keep_padding = spec.pool in _COLUMNS and not (
            spec.pool == "right"
            and isinstance(mask, Tensor)
            and not recording()
            and bool(mask[..., -1].all())
        )
        self._shift_inputs(given)

    def _states(self, given: dict[str, Any], ask: Ask) -> States:
        """What a page's picture gave is computed by itself where the base model is called as its users do."""
        spec, owner = self._formers.facts["head"], self._owner()
        if spec.pool != "page" or not ask.padded:
            return super()._states(given, ask)
        rows = wiring(owner).facts["stem"].rows(owner, given)
        states = super()._states(given, ask)
        states.pass_.memo.put(ENTERED, rows)
        return states

    def _logits(self, states: States, given: dict[str, Any]) -> Tensor:
        """[B, C]."""
        spec: Spec = self._formers.facts["head"]
        shifted = spec.pool == "last" and given.get("decoder_input_ids") is not None
        of = "decoder_" if shifted else ""
        ids, mask = given.get(f"{of}input_ids"), given.get(f"{of}attention_mask")
        if spec.pool in (*_POOLS, "maps"):
            flow = states.flow()
            compute(self, flow)
            return flow.x
        if spec.pool == "last" and states.watched:  # whoever looks sees the scores of every token
            scores = self._compute(states, states.rows)  # [B, T, C]
            return pooled(spec.pool, states, self.config, ids, mask, scores)
        return self._compute(states, pooled(spec.pool, states, self.config, ids, mask, before=spec.lead))

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits, labels, loss, config = self._logits(states, given), targets["labels"], None, self.config
        if labels is not None:
            loss, config.problem_type = classification(
                logits, labels, config.problem_type, self.num_labels, items
            )
        return self._record(TaskOutput, states, loss, logits)
