"""What is said, or heard, at every moment of a sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.heard import real_rows
from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import spelled
from formers.nn.program import build
from formers.nn.steps import Drop, dense
from formers.nn.tree import has
from formers.stacks.stack import Ask, States
from formers.tasks import token_classification
from formers.tasks.audio_classification import mixed, place_mix
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec(token_classification.Spec):
    """A head for moments; `mixed` and `count` as those of `audio_classification.Spec`."""

    mixed: str | None = None
    count: int = 0


class FrameClassification(TaskModel):
    """One logit per label for every moment."""

    _says = "Label moments. `labels`: [B, T, C], of which the largest is right."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = config.num_labels
        build(self, [dense("out", self._width(), config.num_labels)], {"out": spec.out})
        place_mix(self, spec.mixed, spec.count)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.hidden = ask.hidden or has(self, "mixed")
        ask.keep_padding = targets["labels"] is not None  # the loss counts every row

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = states.spread(self._compute(states, mixed(self, states)))  # [B, T, C]
        labels, loss = targets["labels"], None
        if labels is not None:
            right = labels.reshape(-1, self.num_labels).argmax(1)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), right)
        return self._record(TaskOutput, states, loss, logits)


class CTC(TaskModel):
    """One logit per letter for every moment, and that of the blank between letters."""

    _says = "Spell speech. `labels`: [B, L], int64, -100 where there is none."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if config.vocab_size is None:
            raise ValueError("the config has no vocab_size: pass vocab_size=len(processor.tokenizer)")
        steps = [Drop("dropout", spec.dropout), dense("out", self._width(), config.vocab_size)]
        build(self, steps, {"out": spec.out, "dropout": spec.dropout_path})

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits: Tensor = states.spread(self._compute(states, states.rows))  # [B, T, V]
        labels, loss, config = targets["labels"], None, self.config
        if labels is not None:
            if int(labels.max()) >= config.vocab_size:
                raise ValueError(f"labels reach {int(labels.max())}, but vocab_size is {config.vocab_size}")
            lengths = real_rows(self, given.get("attention_mask"), given[self.main_input_name])
            loss = spelled(
                logits,
                labels,
                lengths,
                config.pad_token_id or 0,
                config.ctc_loss_reduction,
                config.ctc_zero_infinity,
            )
        return self._record(TaskOutput, states, loss, logits)
