"""Attention of one new token of every sequence to what a cache holds: the swift form of the plain mixer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import few_rows, spec
from formers.nn.dropout import Dropout
from formers.nn.masks import Causal, materialise
from formers.nn.passing import Pass
from formers.nn.positions import rotate
from formers.nn.program import Flow
from formers.nn.tree import has, leaf


def plain(s: spec.Attention) -> bool:
    """Whether the swift form computes all that a spec asks for."""
    return not (
        s.cross
        or s.gated
        or s.sinks
        or s.prompts is not None
        or s.rotary_value
        or s.qk_norm_last
        or s.clip is not None
        or s.softcap is not None
        or s.warmth is not None
        or s.score_bias is not None
        or (s.fused and s.biases is not None)
        or (s.qk_norm is not None and s.qk_norm_over == "all")
        or s.fused not in ("", "blocks")
    )


def attend_single(s: spec.Attention, node: Any, dropout: str) -> Callable[[Flow], None] | None:
    """[n, E] -> [n, H * D]; None where the node holds what it does not know."""
    heads, rule = s.heads, s.rotary
    query, shared, width = heads.query, heads.key_value, heads.width
    made = _projections(s, node)
    dropped = leaf(node, dropout) if has(node, dropout) else None
    if made is None or not isinstance(dropped, (Dropout, nn.Dropout, type(None))):
        return None
    norms = None
    if s.qk_norm is not None:
        norms = few_rows.normalise(leaf(node, "q_norm")), few_rows.normalise(leaf(node, "k_norm"))
    scale, grouped, mask = s.scale, query != shared, s.mask

    def run(flow: Flow) -> None:
        pass_ = flow.pass_
        both, v = made(flow.x)  # [n, H + G, D], [n, G, D]
        if norms is not None:
            both = torch.cat((norms[0](both[:, :query]), norms[1](both[:, query:])), dim=1)
        if rule is not None:
            cos, sin = pass_.rotary(rule, flow.x.dtype)
            both = rotate(both, cos, sin, rule.adjacent)
        assert pass_.cache is not None
        keys, values, first = pass_.cache.slot(flow.index).update(both[:, query:, None], v.unsqueeze(2))
        seen = _seen(pass_, mask, first, keys.shape[2], v.shape[0])
        p = float(dropped.p) if dropped is not None and dropped.training else 0.0
        mixed = F.scaled_dot_product_attention(
            both[:, :query, None], keys, values, seen, p, scale=scale, enable_gqa=grouped
        )
        flow.x = mixed.reshape(v.shape[0], query * width)

    return run


def _projections(s: spec.Attention, node: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """[n, E] -> queries and keys side by side [n, H + G, D], and values [n, G, D]."""
    heads = s.heads
    query, shared, width = heads.query, heads.key_value, heads.width
    whole = query + 2 * shared
    if s.fused:
        fused: few_rows.Product | None = few_rows.product(leaf(node, "qkv"))
    else:
        fused = few_rows.beside([leaf(node, role) for role in ("q", "k", "v")])
    if fused is not None:

        def together(x: Tensor) -> tuple[Tensor, Tensor]:
            rows = fused(x).view(-1, whole, width)
            return rows[:, : query + shared], rows[:, query + shared :]

        return together
    q, k, v = (few_rows.product(leaf(node, role)) for role in ("q", "k", "v"))

    def apart(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.cat((q(x), k(x)), dim=-1)
        return rows.view(-1, query + shared, width), v(x).view(-1, shared, width)

    return apart


def _seen(pass_: Pass, mask: Any, first: int, keys: int, batch: int) -> Tensor | None:
    """[B or 1, 1, 1, S], which keys the newest token sees; None for all."""
    own = mask.over(keys)
    alone = type(own) is Causal and (own.window is None or own.window >= keys)
    if alone and pass_.visibility.real is None:
        return None

    def make() -> Tensor | None:
        past = pass_.geometry.past
        query, at = pass_.range(past, past + 1), pass_.range(first, first + keys)
        return materialise(pass_.visibility.mask(own), batch, query, at)

    return pass_.memo.once(("seen", mask, first, keys), make)
