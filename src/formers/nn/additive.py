"""Masks [B, 1, T, S] that are added to scores: 0, or the least number; as layers of one's own took them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn.masks import Causal, Window


class AttentionMaskConverter:
    """Makes masks [B, 1, T, S] of masks [B, S] over keys.

    Args:
        is_causal: whether a query sees nothing behind it.
        sliding_window: how many keys before its own a query sees; None for all.

    Raises:
        ValueError: for a window that is not positive.
    """

    def __init__(self, is_causal: bool, sliding_window: int | None = None) -> None:
        if sliding_window is not None and sliding_window <= 0:
            raise ValueError(f"sliding_window must be positive, not {sliding_window}")
        self.is_causal, self.sliding_window = is_causal, sliding_window

    def to_causal_4d(
        self,
        batch_size: int,
        query_length: int,
        key_value_length: int,
        dtype: torch.dtype,
        device: Any = "cpu",
    ) -> Tensor | None:
        """The causal part alone [B, 1, T, S]; None for one query and no window, which sees everything.

        Raises:
            ValueError: where nothing is causal.
        """
        if not self.is_causal:
            raise ValueError("to_causal_4d makes causal masks: AttentionMaskConverter(is_causal=True)")
        if query_length == 1 and self.sliding_window is None:
            return None
        seen = self._seen(query_length, key_value_length, device)
        return _added(seen.expand(batch_size, 1, query_length, key_value_length), dtype)

    def to_4d(
        self,
        attention_mask_2d: Tensor,
        query_length: int,
        dtype: torch.dtype,
        key_value_length: int | None = None,
    ) -> Tensor:
        """A mask [B, S], 1 for keys that count, with the causal part in it.

        Args:
            attention_mask_2d: [B, S].
            query_length: T.
            dtype: of the mask.
            key_value_length: S; needed where it is causal.

        Returns:
            [B, 1, T, S].

        Raises:
            ValueError: where it is causal and S is left out.
        """
        seen = attention_mask_2d[:, None, None, :].bool().expand(-1, 1, query_length, -1)
        if self.is_causal and (query_length > 1 or self.sliding_window is not None):
            if key_value_length is None:
                raise ValueError("a causal mask needs key_value_length")
            seen = seen & self._seen(query_length, key_value_length, seen.device)
        return _added(seen, dtype)

    def _seen(self, queries: int, keys: int, device: Any) -> Tensor:
        at = torch.arange(keys, device=device)
        row = torch.zeros((), dtype=torch.long, device=device)
        places = (row, at[keys - queries :, None], at[None, :])
        seen = Causal().allowed(*places)
        return seen if self.sliding_window is None else seen & Window(self.sliding_window).allowed(*places)

    @staticmethod
    def _unmask_unattended(expanded_mask: Tensor, min_dtype: float) -> Tensor:
        """Let queries that see nothing see everything: kernels give no number for them else."""
        return expanded_mask * ~(expanded_mask == min_dtype).all(-1, keepdim=True)


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def _prepare_4d_causal_attention_mask(
    attention_mask: Tensor | None,
    input_shape: tuple[int, int] | torch.Size,
    inputs_embeds: Tensor,
    past_key_values_length: int,
    sliding_window: int | None = None,
) -> Tensor | None:
    """The causal mask [B, 1, T, S] of a decoder.

    Args:
        attention_mask: [B, S], or [B, 1, T, S], 1 for what counts; None for all.
        input_shape: (B, T).
        inputs_embeds: gives dtype and device.
        past_key_values_length: tokens before these; S is so many more than T.
        sliding_window: how many keys before its own a query sees.
    """
    converter = AttentionMaskConverter(True, sliding_window)
    queries = int(input_shape[-1])
    keys = queries + past_key_values_length
    if attention_mask is None:
        return converter.to_causal_4d(
            int(input_shape[0]), queries, keys, inputs_embeds.dtype, inputs_embeds.device
        )
    if attention_mask.dim() == 4:
        expected = (int(input_shape[0]), 1, queries, keys)
        if tuple(attention_mask.shape) != expected:
            raise ValueError(f"the attention mask is {tuple(attention_mask.shape)}, not {expected}")
        return _added(attention_mask.bool(), inputs_embeds.dtype)
    return converter.to_4d(attention_mask, queries, inputs_embeds.dtype, keys)


def _prepare_4d_causal_attention_mask_for_sdpa(
    attention_mask: Tensor | None,
    input_shape: tuple[int, int] | torch.Size,
    inputs_embeds: Tensor,
    past_key_values_length: int,
    sliding_window: int | None = None,
) -> Tensor | None:
    """As `_prepare_4d_causal_attention_mask`; queries that see nothing are let see everything."""
    made = _prepare_4d_causal_attention_mask(
        attention_mask, input_shape, inputs_embeds, past_key_values_length, sliding_window
    )
    if made is None or made.device.type != "cuda":
        return made
    return AttentionMaskConverter._unmask_unattended(made, torch.finfo(made.dtype).min)


def _prepare_4d_attention_mask(mask: Tensor, dtype: torch.dtype, tgt_len: int | None = None) -> Tensor:
    """A mask [B, S] over keys, 1 for those that count, as [B, 1, T, S]; T is S where it is left out."""
    return AttentionMaskConverter(False).to_4d(mask, tgt_len or mask.shape[1], dtype)
