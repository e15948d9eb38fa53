"""BERT's pre-training tasks: does the second sentence follow the first, alone or beside masked words."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.outputs import PreTrainingOutput, TaskOutput
from formers.nn.losses import cross_entropy
from formers.tasks.base import TaskModel, labels_on_padding, returned
from formers.tasks.language_model import MaskedLM


class NextSentencePrediction(TaskModel):
    """Two logits: the second sentence follows the first, or not (Devlin et al. 2018, arXiv:1810.04805)."""

    def place_head(self, config: PretrainedConfig) -> None:
        """Role `follows`."""
        self.place("follows", self.head.paths["follows"], nn.Linear(self.width, 2))

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
        """Judge pairs. `labels` [B]: 0 follows, 1 does not. Inputs as the base model's; `logits` [B, 2]."""
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            first_only=True,
        )
        logits = self.leaf("follows")(states.pooled)  # [B, 2]
        loss = None if labels is None else cross_entropy(logits, labels, num_items_in_batch)
        return returned(TaskOutput(loss, logits, **self.shared_outputs(states)), return_dict, self.config)


class PreTraining(MaskedLM):
    """Masked words and next sentence at once."""

    def place_head(self, config: PretrainedConfig) -> None:
        """The masked-LM head's roles, and `follows`."""
        super().place_head(config)
        self.place("follows", self.head.paths["follows"], nn.Linear(self.width, 2))

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        return_dict: bool | None = None,
        **keywords: Any,
    ) -> Any:
        """Predict both.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], 1 at real tokens.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            labels: [B, T], int64, -100 where there is none.
            next_sentence_label: [B], 0 follows, 1 does not.
            return_dict: a record (default) or a tuple.
            keywords: as the base model takes them.

        Returns:
            `prediction_logits` [B, T, V], `seq_relationship_logits` [B, 2], and
            `loss` when both labels are given.
        """
        keywords.pop("num_items_in_batch", None)  # two losses with different counts have no common divisor
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
        words = states.layout.unpack(self.vocabulary_logits(states.rows))  # [B, T, V]
        follows = self.leaf("follows")(states.pooled)  # [B, 2]
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = cross_entropy(words, labels) + cross_entropy(follows, next_sentence_label)
        output = PreTrainingOutput(loss, words, follows, states.unpacked_hidden, states.attentions)
        return returned(output, return_dict, self.config)
