"""Which of several continuations fits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from formers.configs import PretrainedConfig
from formers.core.outputs import TaskOutput
from formers.nn.losses import cross_entropy
from formers.tasks.base import returned
from formers.tasks.sequence_classification import SequenceClassification


class MultipleChoice(SequenceClassification):
    """One logit per choice: every choice is a sequence of its own, scored by one output."""

    def count_outputs(self, config: PretrainedConfig) -> int:
        """One score, whatever the number of labels."""
        return 1

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Any = None,
        **keywords: Any,
    ) -> Any:
        """Choose.

        Args:
            input_ids: [B, choices, T], int64.
            attention_mask: [B, choices, T], 1 at real tokens.
            token_type_ids: [B, choices, T], int64.
            position_ids: [B, choices, T], int64.
            inputs_embeds: [B, choices, T, E], in place of `input_ids`.
            labels: [B], int64, the fitting choice.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            keywords: as the base model takes them.

        Returns:
            `logits` [B, choices], and `loss` when labels are given.
        """
        given = input_ids if input_ids is not None else inputs_embeds
        if given is None or given.dim() < 3:
            shape = None if given is None else list(given.shape)
            raise ValueError(f"multiple choice takes inputs of shape [B, choices, T], but got {shape}")
        choices = given.shape[1]
        flat = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
        }
        flat = {name: None if t is None else t.flatten(0, 1) for name, t in flat.items()}  # [B * choices, T]
        output = super().forward(**flat, return_dict=True, **keywords)
        logits = output.logits.view(-1, choices)  # [B, choices]
        loss = None if labels is None else cross_entropy(logits, labels, num_items_in_batch)
        output = TaskOutput(loss, logits, hidden_states=output.hidden_states, attentions=output.attentions)
        return returned(output, return_dict, self.config)
