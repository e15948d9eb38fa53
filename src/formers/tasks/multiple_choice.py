"""Which of several continuations fits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from formers.core.outputs import ModelOutput, TaskOutput
from formers.nn.losses import cross_entropy
from formers.nn.recording import size
from formers.stacks.stack import Ask, States
from formers.tasks.sequence_classification import SequenceClassification

_BY_CHOICE = (
    *("input_ids", "attention_mask", "token_type_ids", "task_type_ids", "position_ids", "inputs_embeds"),
    *("global_attention_mask", "input_mask", "langs"),
    *("entity_ids", "entity_attention_mask", "entity_token_type_ids", "entity_position_ids"),
    *("visual_embeds", "visual_attention_mask", "visual_token_type_ids", "image_text_alignment"),
)


def flatten_choices(given: dict[str, Any]) -> int:
    """Let every choice be a row, [B, choices, ..] -> [B * choices, ..]; how many there are, or 0."""
    ids, vectors = given.get("input_ids"), given.get("inputs_embeds")
    found, axes = (ids, 3) if ids is not None else (vectors, 4)
    if not isinstance(found, Tensor) or found.dim() < axes:
        return 0
    for name in _BY_CHOICE:
        value = given.get(name)
        if isinstance(value, Tensor) and value.dim() > 2 and value.shape[:2] == found.shape[:2]:
            given[name] = value.flatten(0, 1)
    told = given.get("lang_ids")
    if isinstance(told, Tensor) and told.shape[:1] == found.shape[:1]:  # of every row, or of every choice
        told = told if told.dim() > 1 else told[:, None].expand(found.shape[:2])
        given["lang_ids"] = told.flatten(0, 1)
    return size(found.shape[1])


class MultipleChoice(SequenceClassification):
    """One logit per choice: every choice is a sequence of its own, scored by one output.

    Inputs have an axis of choices, [B, choices, T].
    """

    _unread_inputs = ("lengths",)  # of choices: a mask says what is padding
    _says = "Choose. Inputs have an axis of choices, [B, choices, T]; `labels`: [B], int64, the fitting one."

    def _count(self, config: Any) -> int:
        """One score, whatever the number of labels."""
        return 1

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        given["choices"] = flatten_choices(given)
        if not given["choices"]:
            found = (
                given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
            )
            shape = list(found.shape) if isinstance(found, Tensor) else found
            raise ValueError(f"multiple choice takes inputs of shape [B, choices, T], but got {shape}")
        super()._prepare(given, targets, ask)

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = self._logits(states, given).view(-1, given["choices"])  # [B, choices]
        labels = targets["labels"]
        loss = None if labels is None else cross_entropy(logits, labels, items)
        return self._record(TaskOutput, states, loss, logits)
