"""What stands around the layers of a stack that reads distances, and a second stream beside the first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.relative import Streams, distances
from formers.nn.passing import Pass
from formers.nn.tree import Block, leaf


def turned(x: Tensor) -> Tensor:
    """[B, T, ..] -> [T, B, ..], and back."""
    return x.transpose(0, 1).contiguous()


def begin(block: Block, s: spec.Relative, pass_: Pass, shared: Streams, x: Tensor) -> Tensor:
    """Make the table of distances; put the second stream's rows behind those of the first, `x`."""
    dropout = leaf(block, "embedding_dropout")
    if shared.targets is not None:
        (batch, count), width = shared.targets.shape[:2], x.shape[-1]
        rows = (count, batch, width) if pass_.watched else (batch * count, width)
        pass_.memo.put("first stream", (x.shape[0], 0))
        x = torch.cat((x, dropout(leaf(block, "blank").to(x.dtype).view(-1).expand(rows))))
    shared.table = dropout(distances(s, pass_, shared.past, x))
    pass_.memo.put("streams", shared)
    return x


def end(pass_: Pass, shared: Streams, x: Tensor) -> Tensor:
    """Rows of the stream that callers read; hidden states of both as they see them."""
    first = (pass_.memo.get("first stream") or (None,))[0]
    held: list[Any] = pass_.trace.get("hidden_states", [])
    if first is not None and shared.targets is not None:
        layout = pass_.layout
        each = [part for both in held for part in (both[:first], both[first:])]
        if not pass_.watched:
            each = [part.view(layout.batch, -1, part.shape[-1]) for part in each]
            held[:], x = each, x[first:].view(*shared.targets.shape[:2], -1)
        else:
            held[:], x = each, x[first:]
    if pass_.watched:
        held[:] = map(turned, held)
    return x


def put_beside(block: Block, pass_: Pass, x: Tensor) -> Tensor:
    """Rows [N, E] with vectors for every sequence behind them, in the order of spans; or [B, T + G, E]."""
    table = leaf(block, "beside")
    each = pass_.layout.batch if pass_.watched else sum(span.count for span in pass_.layout.spans)
    ids = torch.arange(table.num_embeddings, device=x.device).expand(each, -1)
    found = table(ids).to(x.dtype)  # [B, G, E]
    found = found if pass_.watched else found.flatten(0, 1)
    pass_.memo.put("first stream", (x.shape[-2], x.dim() - 2))
    pass_.memo.put("beside", x.shape[-2])
    return torch.cat((x, found), -2)


def leave_beside(pass_: Pass, x: Tensor) -> Tensor:
    """The rows alone, of `x` and of all states that are kept."""
    first = pass_.memo.get("first stream")[0]
    held: list[Any] = pass_.trace.get("hidden_states", [])
    held[:] = [both if both.shape[-2] == first else both[..., :first, :] for both in held]
    return x[..., :first, :]
