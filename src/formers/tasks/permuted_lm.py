"""Words in any order: XLNet's head, which writes by asking for one token behind those that there are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.tasks.language_model import CausalLM

_AGAIN = 2  # tokens that every step reads again, so that their states know those behind them


class PermutedLM(CausalLM):
    """Predict the tokens that `target_mapping` asks for, or every next one."""

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = None,
        *,
        mems: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The tokens, [B, T], and one behind them that nobody sees and that is asked for.

        With memories only the last tokens are read; those that the memories have of them are left out.

        Raises:
            ValueError: for padding, which memories would keep; for a prompt of vectors.
        """
        padded = attention_mask is not None and not bool(attention_mask.all())
        if padded or inputs_embeds is not None:
            raise ValueError(
                f"{type(self).__name__} goes on with input_ids without padding: call generate() for prompts "
                "of one length at a time"
            )
        given = {name: value for name, value in kwargs.items() if value is not None and name in _PASSED}
        if mems is not None:
            input_ids = input_ids[:, -_AGAIN:]
            given["mems"] = tuple(one[:-_AGAIN] for one in mems)
        ids = torch.cat((input_ids, torch.zeros_like(input_ids[:, :1])), dim=1)
        batch, length = ids.shape
        hidden = torch.zeros(batch, length, length, device=ids.device)
        asked = torch.zeros(batch, 1, length, device=ids.device)
        hidden[:, :, -1], asked[:, :, -1] = 1.0, 1.0
        return {**given, "input_ids": ids, "perm_mask": hidden, "target_mapping": asked}

    def _reorder_cache(self, past_key_values: Any, beam_idx: Tensor) -> Any:
        """Memories, [M, B, E] each, that follow the beams."""
        return tuple(one.index_select(1, beam_idx.to(one.device)) for one in past_key_values)


_PASSED = ("use_mems", "output_attentions", "output_hidden_states", "return_dict")
