"""A label for every token."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.outputs import TaskOutput
from formers.nn.losses import cross_entropy
from formers.tasks.base import TaskModel, labels_on_padding, returned


class TokenClassification(TaskModel):
    """One logit per label for every token."""

    def place_head(self, config: PretrainedConfig) -> None:
        """Role `out`."""
        self.num_labels = config.num_labels
        self.place("out", self.head.paths["out"], nn.Linear(self.width, config.num_labels))

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
        """Label tokens.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], 1 at real tokens.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            labels: [B, T], int64, -100 where there is none.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            keywords: as the base model takes them.

        Returns:
            `logits` [B, T, C], and `loss` when labels are given.
        """
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            keep_padding=labels_on_padding(labels, attention_mask),
        )
        logits = states.layout.unpack(self.leaf("out")(self.dropout(states.rows)))  # [B, T, C]
        loss = None if labels is None else cross_entropy(logits, labels, num_items_in_batch)
        return returned(TaskOutput(loss, logits, **self.shared_outputs(states)), return_dict, self.config)
