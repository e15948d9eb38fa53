"""The span of the text that answers a question."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from formers.configs import PretrainedConfig
from formers.core.outputs import SpanOutput
from formers.nn.losses import span
from formers.tasks.base import TaskModel, returned


class QuestionAnswering(TaskModel):
    """Two logits for every token: the answer begins here, the answer ends here."""

    def place_head(self, config: PretrainedConfig) -> None:
        """Role `out`."""
        self.place("out", self.head.paths["out"], nn.Linear(self.width, 2))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Any = None,
        **keywords: Any,
    ) -> Any:
        """Find spans.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], 1 at real tokens.
            token_type_ids: [B, T], int64.
            position_ids: [B, T], int64.
            inputs_embeds: [B, T, E], in place of `input_ids`.
            start_positions: [B], int64; positions past the end count for nothing.
            end_positions: [B], int64, likewise.
            return_dict: a record (default) or a tuple.
            num_items_in_batch: divisor of the summed loss, for gradient accumulation.
            keywords: as the base model takes them.

        Returns:
            `start_logits` and `end_logits` [B, T], and `loss` when both positions are given.
        """
        states = self.states(
            f"{type(self).__name__}.forward",
            keywords,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            # the loss is a softmax over places, padding included
            keep_padding=start_positions is not None,
        )
        both = states.layout.unpack(self.leaf("out")(self.dropout(states.rows)))  # [B, T, 2]
        start, end = both[..., 0].contiguous(), both[..., 1].contiguous()  # [B, T] each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span(start, end, start_positions, end_positions, num_items_in_batch)
        return returned(self.record(SpanOutput, states, loss, start, end), return_dict, self.config)
