"""The likeliest spans that answer a question: ends by starts, and whether there is an answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.core.outputs import BeamSpanOutput, ModelOutput
from formers.nn.losses import binary, span
from formers.nn.program import Flow, Inner, Step, build, run_inner
from formers.nn.spec import Norm
from formers.nn.steps import Normalise, dense
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec:
    """A head for beams of spans.

    Attributes:
        starts: how many are followed; `ends` for each of them.
        norm: of what the scores of ends are read from.
        node: path of the node that holds the head's parts; empty where the model does.
    """

    starts: int
    ends: int
    norm: Norm
    node: str = ""


_ROLES = {
    "start_dense": "start_logits.dense",
    **{f"end_{role}": f"end_logits.{role}" for role in ("dense_0", "activation", "LayerNorm", "dense_1")},
    **{f"answer_{role}": f"answer_class.{role}" for role in ("dense_0", "activation", "dense_1")},
}
_FOUND = "spans"  # under which a pass holds the targets, and then what was found


class _Number(Step):
    """[.., 1] -> [..]."""

    def run(self, node: Any, flow: Flow) -> None:
        """One number for each row."""
        flow.x = flow.x.squeeze(-1)


class _Judge(Step):
    """Scores of starts, of ends, and of whether there is an answer; the pass holds the targets.

    The pass then holds a loss, where starts and ends are told, or else what was found.
    """

    def __init__(self, s: Spec, width: int) -> None:
        super().__init__()
        self.starts, self.ends = s.starts, s.ends
        self.inner = {
            "start_": Inner(lambda: [dense("dense", width, 1), _Number()]),
            "end_": Inner(partial(_of_pairs, width, s.norm)),
            "answer_": Inner(partial(_of_pairs, width, None)),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """[B, T, E] -> the loss, or [B, starts], the chances of the best starts."""
        x, (targets, items) = flow.x, flow.pass_.memo.get(_FOUND)
        hidden = targets["p_mask"]
        first, last = (_column(targets[name]) for name in ("start_positions", "end_positions"))

        def judge(part: str, rows: Tensor, within: bool = True) -> Tensor:
            scores = run_inner(node, part, rows, flow)
            if hidden is None or not within:
                return scores
            seen = hidden.to(scores.device).view(*hidden.shape, *(1,) * (scores.dim() - 2)) == 0
            return scores.masked_fill(~seen, max(-1e30, torch.finfo(scores.dtype).min))

        start, at = judge("start_", x), _column(targets["cls_index"])
        told = x[:, -1] if at is None else _at(x, at)  # [B, E], what says whether there is an answer
        if first is not None and last is not None:
            begun = _at(x, first)
            end = judge("end_", torch.cat((x, begun[:, None].expand_as(x)), -1))
            loss, none = span(start, end, first, last, items), _column(targets["is_impossible"])
            if at is not None and none is not None:
                loss = loss + binary(judge("answer_", torch.cat((begun, told), -1), within=False), none) / 2
            found: tuple[Tensor | None, ...] = (loss,)
        else:
            chances = start.softmax(-1)  # [B, T]
            best, where = chances.topk(min(self.starts, x.shape[1]), -1)  # [B, n]
            begun = x.gather(1, where[..., None].expand(-1, -1, x.shape[-1]))
            shape = (x.shape[0], x.shape[1], begun.shape[1], x.shape[2])  # [B, T, n, E]
            pairs = torch.cat((x[:, :, None].expand(shape), begun[:, None].expand(shape)), -1)
            ends = judge("end_", pairs).softmax(1).topk(min(self.ends, x.shape[1]), 1)  # [B, m, n]
            mean = (chances[:, None] @ x)[:, 0]
            answer = judge("answer_", torch.cat((mean, told), -1), within=False)
            found = (None, best, where, ends.values.flatten(1), ends.indices.flatten(1), answer)
        flow.pass_.memo.put(_FOUND, found)
        flow.x = next(value for value in found if value is not None)


def _of_pairs(width: int, norm: Norm | None) -> list[Step]:
    """[.., 2 * E] -> [..]."""
    first = dense("dense_0", 2 * width, width, act="tanh", act_role="activation")
    normed: list[Step] = [] if norm is None else [Normalise("LayerNorm", norm, width)]
    return [first, *normed, dense("dense_1", width, 1, bias=norm is not None), _Number()]


class SpanBeams(TaskModel):
    """Starts, ends that follow from each of the best starts, and whether there is an answer at all."""

    _targets = ("start_positions", "end_positions", "is_impossible", "cls_index", "p_mask")
    _says = "Find spans. `p_mask`: [B, T], 1 at tokens that are in no answer."

    def _place_head(self, spec: Spec, config: Any) -> None:
        names = {role: f"{spec.node}.{path}" if spec.node else path for role, path in _ROLES.items()}
        build(self, [_Judge(spec, self._width())], names)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.keep_padding = True  # scores are softmaxes over places, padding included

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        states.pass_.memo.put(_FOUND, (targets, items))
        self._compute(states, states.last)
        return self._record(BeamSpanOutput, states, *states.pass_.memo.get(_FOUND))


def _column(value: Tensor | None) -> Tensor | None:
    """[B] or [B, 1] -> [B]."""
    return value.squeeze(-1) if value is not None and value.dim() > 1 else value


def _at(x: Tensor, place: Tensor) -> Tensor:
    """The state at one place of each row: [B, T, E], [B] -> [B, E]."""
    return x[torch.arange(x.shape[0], device=x.device), place.to(x.device)]
