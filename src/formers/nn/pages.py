"""Biases of scores by where two places of a page stand, computed once for all layers of a pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.leaves import linear
from formers.nn.passing import Pass
from formers.nn.positions import Buckets, PageBuckets
from formers.nn.tree import Block, leaf, wiring

PLACES = "page places"  # of a memo: numbers [1, T] and boxes [B, T, 4] of all places


def place_page_bias(rule: PageBuckets, heads: int, place: Callable[[str, nn.Module], Block]) -> None:
    """Register the tables, [H, distances] each, where `place` puts a role's leaf."""
    for role, count in rule.tables.items():
        holder = place(role, linear("linear", count, heads, bias=False))
        wiring(holder).facts["pages"] = rule


def patch_places(down: int, across: int, page: int, device: Any) -> Tensor:
    """Boxes of one token before the patches of a page, and of those: [1 + P, 4], int64.

    Edges are whole numbers of a page's `page`; the first token's box is the page without its rim.
    """
    rows, columns = (torch.arange(count + 1, device=device) * page // count for count in (down, across))
    left, right = columns[:-1].repeat(down), columns[1:].repeat(down)
    top, bottom = rows[:-1].repeat_interleave(across), rows[1:].repeat_interleave(across)
    boxes = torch.stack((left, top, right, bottom), dim=-1)
    first = torch.tensor([[1, 1, page - 1, page - 1]], device=device)
    return torch.cat((first, boxes))


def keep_page_bias(owner: Any, rule: PageBuckets, x: Tensor, pass_: Pass) -> None:
    """Let every layer find the bias of the places of this pass, [B or 1, H, T, T], scaled as scores are.

    Raises:
        ValueError: where nobody said where these places are.
    """
    if pass_.memo.get(PLACES) is None:
        raise ValueError(
            "what is added to scores follows from places on a page, which a layer called alone cannot tell: "
            "call the model"
        )
    numbers, boxes = pass_.memo.get(PLACES)
    assert rule.order is not None
    width = x.shape[-1] // leaf(owner, "order_bias").weight.shape[0]
    found = _by(leaf(owner, "order_bias"), rule.order, numbers)
    if rule.sides is not None:
        for role, side in (("across_bias", 0), ("down_bias", 3)):
            found = found + _by(leaf(owner, role), rule.sides, boxes[..., side])
    pass_.memo.put(rule, (found / math.sqrt(width)).to(x.dtype))


def _by(table: Any, rule: Buckets, at: Tensor) -> Tensor:
    """[B, T] -> [B, H, T, T]."""
    index = rule.of(at[:, None, :] - at[:, :, None])
    made: Tensor = table.weight.detach().t()[index]
    return made.permute(0, 3, 1, 2)
