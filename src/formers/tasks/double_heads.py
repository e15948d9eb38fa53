"""The next word, and which of several continuations fits, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from formers.core.outputs import DoubleHeadsOutput, ModelOutput
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.leaves import linear
from formers.nn.losses import cross_entropy, next_token
from formers.nn.program import Flow, Step, compute
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States
from formers.tasks import language_model
from formers.tasks.base import TaskModel
from formers.tasks.multiple_choice import flatten_choices

Chosen = Literal["cls_index", "last", "first", "mean"]


@dataclass(frozen=True, kw_only=True)
class Spec(language_model.Spec):
    """A head for words, and a summary of every continuation.

    Attributes:
        summary: path of the node that makes it.
        chosen: the state that it is made of: that at `mc_token_ids` (else the last), the last place's, the
            first place's, or the mean of all places, padding included.
        outputs: numbers that a linear layer makes of it; None without that layer.
        summary_act: activation after that, or None.
        first_dropout: before that layer.
        last_dropout: after the activation.
    """

    summary: str
    chosen: Chosen = "cls_index"
    outputs: int | None = 1
    summary_act: str | None = None
    first_dropout: float = 0.0
    last_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.chosen not in get_args(Chosen):
            known = " or ".join(map(repr, get_args(Chosen)))
            raise ValueError(f"summary_type of the config is {known}, not {self.chosen!r}")


class _Beside(Step):
    """The states take the place of the words' logits, which the flow keeps."""

    def run(self, node: Any, flow: Flow) -> None:
        """[.., V] -> [.., E]."""
        assert flow.entered is not None
        flow.normed, flow.x = flow.x, flow.entered


class _Summarise(Step):
    """One state of every sequence; dropout, projection, activation, dropout. The pass holds the places."""

    home = "summary"

    def __init__(self, s: Spec, width: int) -> None:
        super().__init__()
        self.chosen, out, act = s.chosen, s.outputs, s.summary_act
        self.leaves = {
            "project": lambda: nn.Identity() if out is None else linear("linear", width, out),
            "act": lambda: Activation(act) if act else nn.Identity(),
            "first": lambda: Dropout(s.first_dropout),
            "last": lambda: Dropout(s.last_dropout),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, C]."""
        x = flow.x if flow.x.dim() == 3 else flow.pass_.layout.unpack(flow.x)
        at = flow.pass_.memo.get("summary places") if self.chosen == "cls_index" else None
        if self.chosen == "mean":
            x = x.mean(1)
        elif at is not None:
            x = x[torch.arange(x.shape[0], device=x.device), at]
        else:
            x = x[:, 0 if self.chosen == "first" else -1]
        for role in ("first", "project", "act", "last"):
            x = leaf(node, role)(x)
        flow.x = x


class DoubleHeads(language_model.CausalLM):
    """Words, and a number for every continuation (Radford et al. 2018, section 3.3).

    Inputs are [B, T], or [B, choices, T] where the rows of one example compete.
    """

    _targets = ("labels", "mc_labels")
    _options = ("mc_token_ids", *TaskModel._options)
    _says = "Predict the next tokens, and choose. `labels`: like the ids, -100 where there is none."

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        config.num_labels = 1  # a continuation has one score
        super().__init__(config, *args, **options)

    def _steps(self, spec: Any, config: Any) -> tuple[list[Step], dict[str, str | None]]:
        steps, names = super()._steps(spec, config)
        own = {"first": "first_dropout", "project": "summary", "act": "activation", "last": "last_dropout"}
        paths = {role: f"{spec.summary}.{name}" for role, name in own.items()}
        both = [*steps, _Beside(), _Summarise(spec, self._width())]
        return both, {**names, **paths, "summary": spec.summary}

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        choices = flatten_choices(given)
        for name in ("labels", "mc_labels"):
            if choices and targets[name] is not None:
                targets[name] = targets[name].flatten(0, max(0, targets[name].dim() - 2))
        super()._prepare(given, targets, ask)
        given["choices"] = choices
        told = given.get("mc_token_ids") is not None and self._formers.facts["head"].chosen == "cls_index"
        ask.keep_padding = ask.keep_padding or not told  # else padding may be what is read

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        places, choices = given.get("mc_token_ids"), given["choices"]
        states.pass_.memo.put("summary places", None if places is None else places.reshape(-1))
        flow = states.flow()
        flow.entered = states.rows
        compute(self, flow)
        assert flow.normed is not None
        words, scores = states.spread(flow.normed), flow.x  # [B * choices, T, V], [B * choices, C]
        labels, chosen = targets["labels"], targets["mc_labels"]
        loss = None if labels is None else next_token(words, labels, items)
        if choices:
            words, scores = (t.view(-1, choices, *t.shape[1:]) for t in (words, scores))
        scores = scores.squeeze(-1)
        # a different count: the two losses have no common divisor
        choice_loss = None if chosen is None else cross_entropy(scores.view(-1, scores.shape[-1]), chosen)
        return DoubleHeadsOutput(loss, choice_loss, words, scores, **self._assembly.passed_on(states))
