"""Which tokens were replaced (Clark et al. 2020, arXiv:2003.10555, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import binary
from formers.nn.program import Flow, Step, build
from formers.nn.steps import dense
from formers.stacks.stack import States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A head for replaced tokens: paths of the output layer, of one before it, of its activation if any."""

    out: str
    dense: str
    act: str
    act_path: str | None


class _Squeeze(Step):
    """One number is no axis."""

    home = "node"

    def run(self, node: Any, flow: Flow) -> None:
        """[.., 1] -> [..]."""
        flow.x = flow.x.squeeze(-1)


class ReplacedTokens(TaskModel):
    """One logit for every token: it stands in place of another."""

    _says = "Find replaced tokens. `labels`: [B, T], int64: 1 replaced, 0 not; padding does not count."

    def _place_head(self, spec: Spec, config: Any) -> None:
        width = self._width()
        first = dense("dense", width, width, act=spec.act, act_role="act")
        names = {"dense": spec.dense, "act": spec.act_path, "out": spec.out}
        build(
            self, [first, dense("out", width, 1), _Squeeze()], {**names, "node": spec.out.rpartition(".")[0]}
        )

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = states.spread(self._compute(states, states.rows))  # [B, T]
        labels, mask = targets["labels"], given.get("attention_mask")
        real = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        loss = None if labels is None else binary(logits, labels, real, items)
        return self._record(TaskOutput, states, loss, logits)
