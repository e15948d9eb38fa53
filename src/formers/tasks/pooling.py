"""Which vector stands for a whole sequence."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from formers.nn.layout import Layout
from formers.nn.pages import ENTERED
from formers.stacks.stack import States

Pool = Literal[
    "pooler", "first", "rest", "last", "eos", "mean", "late", "left", "right", "all", "maps", "joined", "page"
]


def of_pooler(states: States) -> Tensor:
    """What the pooler made, [B, E].

    Raises:
        ValueError: when there is none, as where somebody took it out.
    """
    if states.pooled is None:
        raise ValueError(
            "this head reads the pooler's vector, but the base model has no pooler; build it with "
            "add_pooling_layer=True"
        )
    return states.pooled


def pooled(
    pool: Pool,
    states: States,
    config: Any,
    ids: Tensor | None,
    mask: Tensor | None,
    rows: Tensor | None = None,
    before: int = 1,
) -> Tensor:
    """One vector per sequence, [B, E].

    Args:
        pool: the stack's pooler, the mean of all but the first (of images, which have no padding), that
            beside the first, [B, 2 E], the last real token, or the last end-of-sequence token;
            of a page the first token, and what its picture gave before and behind the layers, [B, 3 E].
        states: what the stack computed.
        config: for the padding token, which tells the last real token of a decoder.
        ids: [B, T], int64, or None when vectors were given.
        mask: [B, T], or None.
        rows: what to choose from, in place of the states: [B, T, C].
        before: how many are the first.

    Raises:
        ValueError: when a decoder has no padding token and several rows are given, or the pooler is gone.
    """
    if pool == "pooler":
        return of_pooler(states)
    if pool in ("rest", "joined"):
        mean = states.last[:, before:].mean(1)
        return torch.cat((states.last[:, 0], mean), dim=1) if pool == "joined" else mean
    if pool == "page":
        entered = states.pass_.memo.get(ENTERED)
        parts = states.last[:, 0], entered.mean(1), states.last[:, -entered.shape[1] :].mean(1)
        return torch.cat(parts, dim=1)
    if pool == "last":
        return at_column(states, last_token(config, ids, mask, states.layout), rows)
    return at_column(states, last_end(config, ids, states.layout), rows)


def last_end(config: Any, ids: Tensor | None, layout: Layout) -> Tensor:
    """Column of the last end-of-sequence token, [B], int64.

    Raises:
        ValueError: without ids, when they are not those of the states, or when sequences do not end alike.
    """
    if ids is None or tuple(ids.shape) != (layout.batch, layout.length):
        given = "none were given" if ids is None else f"they have shape {list(ids.shape)}"
        raise ValueError(
            f"the state of the last end-of-sequence token is read, so input_ids of shape "
            f"{[layout.batch, layout.length]}, those of the states, are needed; {given}"
        )
    ends = config.eos_token_id if isinstance(config.eos_token_id, (list, tuple)) else [config.eos_token_id]
    if None in ends:
        raise ValueError("config.eos_token_id is None; set it to the token that ends a sequence")
    found = torch.isin(ids, torch.tensor(ends, device=ids.device))  # [B, T]
    counts = found.sum(1)
    if int(counts.min()) == 0:
        raise ValueError(
            f"every sequence must contain the end-of-sequence token ({ends}), but some have none"
        )
    if int(counts.max()) != int(counts.min()):
        raise ValueError(
            f"all sequences must have the same number of end-of-sequence tokens ({ends}), "
            f"but they have {counts.tolist()}"
        )
    columns = torch.arange(layout.length, device=ids.device)
    return (columns * found).argmax(-1)


def last_token(config: Any, ids: Tensor | None, mask: Tensor | None, layout: Layout) -> Tensor:
    """Column of the last token that is not padding, [B], int64."""
    batch, length = layout.batch, layout.length
    columns = torch.arange(length, device=ids.device if ids is not None else None)
    pad = getattr(config, "pad_token_id", None)
    if ids is not None and pad is not None and pad >= 0:  # older configs write -1 for none
        return (columns * ids.ne(pad)).argmax(-1)
    if mask is not None and mask.dim() == 2:
        return (columns * mask).argmax(-1)
    if batch > 1 and ids is not None:
        raise ValueError(
            "several sequences were given, but the model has no padding token, so their ends are unknown; "
            "set model.config.pad_token_id = tokenizer.pad_token_id, or pass an attention_mask"
        )
    return torch.full((batch,), length - 1, device=columns.device)


def at_column(states: States, column: Tensor, rows: Tensor | None = None) -> Tensor:
    """The state at one column per row: [B, E]."""
    layout, rows = states.layout, states.rows if rows is None else rows
    column = column.to(rows.device)
    each = torch.arange(layout.batch, device=rows.device)
    if rows.dim() == 3:
        return rows[each, column]
    place = each * layout.length + column  # [B]
    if layout.index is not None:
        row_of = torch.zeros(layout.batch * layout.length, dtype=torch.long, device=rows.device)
        row_of[layout.index] = torch.arange(layout.rows, device=rows.device)
        place = row_of[place]
    return rows.index_select(0, place)
