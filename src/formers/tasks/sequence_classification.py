"""One label, several labels or a number for a whole sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.outputs import TaskOutput
from formers.nn.activations import activation
from formers.nn.losses import classification
from formers.tasks.base import TaskModel, returned
from formers.tasks.pooling import pooled


class SequenceClassification(TaskModel):
    """A vector per sequence, an optional dense layer, and one logit per label.

    The vector is the base model's pooled output, the first token's state, or the state of the last real
    token or end-of-sequence token, as the family says.
    """

    def count_outputs(self, config: PretrainedConfig) -> int:
        """Logits for each sequence."""
        return int(config.num_labels)

    def place_head(self, config: PretrainedConfig) -> None:
        """Roles `dense` (optional) and `out`."""
        self.num_labels = self.count_outputs(config)
        if "dense" in self.head.paths:
            self.place("dense", self.head.paths["dense"], nn.Linear(self.width, self.width))
        self.place("out", self.head.paths["out"], nn.Linear(self.width, self.num_labels, bias=self.head.bias))

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
        """Classify.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], 1 at real tokens.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            labels: [B] int64, [B] or [B, C] float; see `nn.losses.classification`.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            keywords: as the base model takes them.

        Returns:
            `logits` [B, C], and `loss` when labels are given.
        """
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            first_only=self.head.pool in ("pooler", "first"),
        )
        vector = pooled(self.head.pool, states, self.config, input_ids, attention_mask)  # [B, E]
        logits = self.classify(vector)
        loss = None
        if labels is not None:
            config = self.config
            loss, config.problem_type = classification(
                logits, labels, config.problem_type, self.num_labels, num_items_in_batch
            )
        return returned(self.record(TaskOutput, states, loss, logits), return_dict, self.config)

    def classify(self, vector: Tensor) -> Tensor:
        """[B, E] -> [B, C]."""
        if self.has("dense"):
            vector = self.dropout(vector) if self.head.drop_first else vector
            vector = self.leaf("dense")(vector)
            vector = activation(self.head.activation_of(self.config))(vector)
        logits: Tensor = self.leaf("out")(self.dropout(vector))
        return logits
