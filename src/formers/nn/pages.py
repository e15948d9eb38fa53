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

PLACES = "page places"  # of a memo: numbers [1 or B, T] and boxes [B, T, 4] of all places
ENTERED = "rows of the page"  # of a memo: what the page's picture gave the first layer, [B, P, E]


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
    """Let every layer find the bias of the places of this pass, [B or 1, H, T, T].

    Raises:
        ValueError: where nobody said where these places are.
    """
    if pass_.memo.get(PLACES) is None:
        raise ValueError(
            "what is added to scores follows from places on a page, which a layer called alone cannot tell: "
            "call the model"
        )
    numbers, boxes = pass_.memo.get(PLACES)
    at = {"order_bias": numbers, "across_bias": boxes[..., 0], "down_bias": boxes[..., 3]}
    buckets = {"order_bias": rule.order, "across_bias": rule.sides, "down_bias": rule.sides}
    found = [_by(leaf(owner, role), buckets[role], at[role]) for role in rule.tables]
    bias = sum(found[1:], start=found[0])
    if rule.scaled:
        bias = bias / math.sqrt(x.shape[-1] // bias.shape[1])
    pass_.memo.put(rule, bias.to(x.dtype))


def _by(table: Any, rule: Buckets | None, at: Tensor) -> Tensor:
    """[B, T] -> [B, H, T, T]."""
    assert rule is not None
    index = rule.of(at[:, None, :] - at[:, :, None])
    made: Tensor = table.weight.detach().t()[index]
    return made.permute(0, 3, 1, 2)
