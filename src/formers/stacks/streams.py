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
        pass_.memo.put("first stream", x.shape[0])
        x = torch.cat((x, dropout(leaf(block, "blank").to(x.dtype).view(-1).expand(rows))))
    shared.table = dropout(distances(s, pass_, shared.past, x))
    pass_.memo.put("streams", shared)
    return x


def end(pass_: Pass, shared: Streams, x: Tensor) -> Tensor:
    """Rows of the stream that callers read; hidden states of both as they see them."""
    first: int | None = pass_.memo.get("first stream")
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
