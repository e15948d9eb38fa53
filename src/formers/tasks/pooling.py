"""Which vector stands for a whole sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn.heads import Pool
from formers.nn.layout import Layout
from formers.stacks.stack import States


def pooled(pool: Pool, states: States, config: Any, ids: Tensor | None, mask: Tensor | None) -> Tensor:
    """One vector per sequence, [B, E].

    Args:
        pool: how; see `nn.heads.Head`.
        states: what the stack computed.
        config: for the padding token, which tells the last real token of a decoder.
        ids: [B, T], int64, or None when vectors were given.
        mask: [B, T], or None.

    Raises:
        ValueError: when a decoder has no padding token and several rows are given.
    """
    if pool == "pooler":
        assert states.pooled is not None
        return states.pooled
    if pool == "first":
        return states.first
    if pool == "last":
        return _at(states, last_token(config, ids, mask, states.layout))
    raise ValueError(f"a single stack cannot pool by {pool!r}")


def last_token(config: Any, ids: Tensor | None, mask: Tensor | None, layout: Layout) -> Tensor:
    """Column of the last token that is not padding, [B], int64."""
    batch, length = layout.batch, layout.length
    columns = torch.arange(length, device=ids.device if ids is not None else None)
    pad = getattr(config, "pad_token_id", None)
    if ids is not None and pad is not None:
        return (columns * ids.ne(pad)).argmax(-1)
    if mask is not None and mask.dim() == 2:
        return (columns * mask).argmax(-1)
    if batch > 1 and ids is not None:
        raise ValueError(
            "several sequences were given, but the model has no padding token, so their ends are unknown; "
            "set model.config.pad_token_id = tokenizer.pad_token_id, or pass an attention_mask"
        )
    return torch.full((batch,), length - 1, device=columns.device)


def _at(states: States, column: Tensor) -> Tensor:
    """The state at one column per row: [B, E]."""
    layout, rows = states.layout, states.rows
    place = torch.arange(layout.batch, device=rows.device) * layout.length + column.to(rows.device)  # [B]
    if layout.index is not None:
        row_of = torch.zeros(layout.batch * layout.length, dtype=torch.long, device=rows.device)
        row_of[layout.index] = torch.arange(layout.rows, device=rows.device)
        place = row_of[place]
    return rows.index_select(0, place)
