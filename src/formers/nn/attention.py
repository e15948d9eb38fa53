"""Attention of one layer: project, turn, attend within each sequence, project back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.attend import Backend, Scores
from formers.nn.cache import Cache
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import Block, linear
from formers.nn.masks import Full, Mask, Padding
from formers.nn.positions import Buckets, Rotary, rotate


@dataclass(eq=False)
class Frame:
    """What one forward pass of a stack shares between its layers. Passed explicitly, never ambient.

    Attributes:
        layout: which rows are which sequence.
        backend: how attention is computed.
        positions: position of every row, [N], int64.
        past: positions that the cache held before this call.
        real: [B, S], bool, which keys hold a token; None when all do or padding was taken out.
        extra: a further mask that every layer obeys.
        extra_alone: `extra` is the caller's own 3-D or 4-D mask, which stands in place of the layers'.
        bias: added to the scores of every layer, [B or 1, 1 or H, T, S]: what such a mask holds beside
            hiding; None for nothing.
        cache: keys and values of earlier calls.
        encoder: [B, S, E], what cross attention reads; `encoder_real` [B, S] likewise bool or None.
        wants_weights: keep the attention weights of every layer.
    """

    layout: Layout
    backend: Backend
    positions: Tensor
    past: int = 0
    real: Tensor | None = None
    extra: Mask | None = None
    extra_alone: bool = False
    bias: Tensor | None = None
    cache: Cache | None = None
    encoder: Tensor | None = None
    encoder_real: Tensor | None = None
    wants_weights: bool = False
    weights: list[Tensor] = field(default_factory=list)
    cross_weights: list[Tensor] = field(default_factory=list)
    tables: dict[Rotary, tuple[Tensor, Tensor]] = field(default_factory=dict)
    ranges: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    biases: dict[tuple[Buckets, int, int], Tensor] = field(default_factory=dict)

    def table(self, rotary: Rotary, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines [N, width] of this pass, computed once per distinct rule."""
        if rotary not in self.tables:
            with torch.autocast(self.positions.device.type, enabled=False):
                cos, sin = rotary.table(self.positions)
            self.tables[rotary] = (cos.to(dtype), sin.to(dtype))
        return self.tables[rotary]

    def range(self, start: int, stop: int) -> Tensor:
        """Positions start..stop-1, one tensor per distinct range so that backends can compare by identity."""
        key = (start, stop)
        if key not in self.ranges:
            self.ranges[key] = torch.arange(start, stop, device=self.positions.device)
        return self.ranges[key]


def place_attention(
    block: Block, s: spec.Attention, width: int, paths: dict[str, str], prefix: str = ""
) -> None:
    """Register the leaves of one attention sub-layer; cross attention has the role prefix `cross_`."""
    heads = s.heads
    query, shared = heads.query * heads.width, heads.key_value * heads.width
    if s.fused:
        leaf = linear(s.linear, width, query + 2 * shared, s.bias)
        block.place(prefix + "qkv", paths[prefix + "qkv"], leaf)
    else:
        for role, size in (("q", query), ("k", shared), ("v", shared)):
            block.place(prefix + role, paths[prefix + role], linear("linear", width, size, s.bias))
    block.place(prefix + "o", paths[prefix + "o"], linear(s.linear, query, width, s.out_bias))
    if s.score_bias is not None and s.owns_score_bias:
        table = nn.Embedding(s.score_bias.count, heads.query)
        block.place(prefix + "score_bias", paths[prefix + "score_bias"], table)


def self_attention(
    block: Block, s: spec.Attention, x: Tensor, frame: Frame, layer: int, first: Tensor | None = None
) -> Tensor:
    """Attention of a sequence to itself. [N, E] -> [N, E].

    With `first` ([sequences], rows of the first tokens) only those attend: [N, E] -> [sequences, E].
    """
    heads = s.heads
    if first is not None:
        mixed = _first_by_span(block, s, x, frame, first)
        return project(block.leaf("o"), mixed.reshape(-1, heads.query * heads.width))  # [sequences, E]
    q, k, v = _project_qkv(block, s, x)
    if s.rotary is not None:
        cos, sin = frame.table(s.rotary, x.dtype)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    if frame.cache is not None:
        mixed = _with_cache(block, s, q, k, v, frame, layer)
    else:
        mixed = _by_span(block, s, q, k, v, frame)
    return project(block.leaf("o"), mixed.reshape(-1, heads.query * heads.width))  # [N, E]


def _project_qkv(block: Block, s: spec.Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[N, E] -> [N, H, D], [N, G, D], [N, G, D]."""
    heads = s.heads
    if s.fused:
        sizes = [heads.query * heads.width, *(heads.key_value * heads.width,) * 2]
        q, k, v = torch.split(project(block.leaf("qkv"), x), sizes, dim=-1)
    else:
        q, k, v = (project(block.leaf(role), x) for role in ("q", "k", "v"))
    rows = x.shape[0]
    return (
        q.view(rows, heads.query, heads.width),
        k.view(rows, heads.key_value, heads.width),
        v.view(rows, heads.key_value, heads.width),
    )


def _by_span(block: Block, s: spec.Attention, q: Tensor, k: Tensor, v: Tensor, frame: Frame) -> Tensor:
    """Attend within each run of equal lengths. Returns [N, H, D]."""
    layout, mixed = frame.layout, []
    parts = (layout.by_span(t) for t in (q, k, v))
    for span, *qkv in zip(layout.spans, *parts, strict=True):
        q_, k_, v_ = (t.transpose(1, 2) for t in qkv)  # [b, H, t, D]
        at = frame.range(0, span.length)
        out = _attend(block, s, q_, k_, v_, frame, at, at)
        mixed.append(out.transpose(1, 2).reshape(span.count * span.length, *q.shape[1:]))  # [b * t, H, D]
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _first_by_span(block: Block, s: spec.Attention, x: Tensor, frame: Frame, first: Tensor) -> Tensor:
    """Let the first token of every sequence attend to its own sequence. Returns [sequences, H, D]."""
    heads, layout = s.heads, frame.layout
    q = project(block.leaf("q"), x.index_select(0, first)).view(-1, heads.query, heads.width)
    k, v = (
        layout.by_span(project(block.leaf(role), x).view(-1, heads.key_value, heads.width))
        for role in ("k", "v")
    )  # [b, t, G, D] each
    firsts = torch.split(q, [span.count for span in layout.spans])
    mixed = []
    for span, one, keys, values in zip(layout.spans, firsts, k, v, strict=True):
        q_, k_, v_ = one[:, :, None], keys.transpose(1, 2), values.transpose(1, 2)  # [b, H, 1 or t, D]
        out = _attend(block, s, q_, k_, v_, frame, frame.range(0, 1), frame.range(0, span.length))
        mixed.append(out[:, :, 0])  # [b, H, D]
    return torch.cat(mixed)


def _with_cache(
    block: Block, s: spec.Attention, q: Tensor, k: Tensor, v: Tensor, frame: Frame, layer: int
) -> Tensor:
    """Attend to everything the layer's slot holds and what is new. Returns [B, T, H, D]."""
    assert frame.cache is not None
    layout = frame.layout
    q, k, v = (
        t.view(layout.batch, layout.length, *t.shape[1:]).transpose(1, 2) for t in (q, k, v)
    )  # [B, H, T, D]
    keys, values, first = frame.cache.slot(layer).update(k, v)
    queries = frame.range(frame.past, frame.past + layout.length)
    at = frame.range(first, first + keys.shape[2])
    return _attend(block, s, q, keys, values, frame, queries, at).transpose(1, 2)  # [B, T, H, D]


def _attend(
    block: Block, s: spec.Attention, q: Tensor, k: Tensor, v: Tensor, frame: Frame, query: Tensor, key: Tensor
) -> Tensor:
    mask = Full() if frame.extra_alone else s.mask
    if frame.real is not None:
        mask = mask & Padding(frame.real)
    if frame.extra is not None:
        mask = mask & frame.extra
    scores = Scores(
        mask,
        query,
        key,
        bias=_score_bias(block, s, frame, query, key),
        scale=s.scale,
        dropout=s.dropout if block.training else 0.0,
        softcap=s.softcap,
    )
    mixed, weights = frame.backend(q, k, v, scores)
    if frame.wants_weights and weights is not None:
        frame.weights.append(weights)
    return mixed


def _score_bias(block: Block, s: spec.Attention, frame: Frame, query: Tensor, key: Tensor) -> Tensor | None:
    """[B or 1, 1 or H, T, S]: the caller's and that of distances.

    The layer that owns the table of distances computes theirs, the others find it in the frame.
    """
    if s.score_bias is None:
        return frame.bias
    place = (s.score_bias, id(query), id(key))  # the frame keeps its ranges, so ids are not used again
    if block.has("score_bias"):
        table = block.leaf("score_bias")
        index = s.score_bias.index(query, key)
        # every layer reads it, so it is laid out as they read it
        frame.biases[place] = table(index).permute(2, 0, 1)[None].contiguous()  # [1, H, T, S]
    found = frame.biases[place]
    return found if frame.bias is None else found + frame.bias


def cross_attention(block: Block, s: spec.Attention, x: Tensor, frame: Frame, layer: int) -> Tensor:
    """Attention of the decoder's tokens to the encoder's states. [N, E] -> [N, E]."""
    heads, layout = s.heads, frame.layout
    assert frame.encoder is not None
    q = project(block.leaf("cross_q"), x).view(layout.batch, layout.length, heads.query, heads.width)
    k, v = _encoder_keys(block, s, frame, layer)
    mask = Full() if frame.encoder_real is None else Padding(frame.encoder_real)
    scores = Scores(
        mask,
        frame.range(0, layout.length),
        frame.range(0, k.shape[2]),
        scale=s.scale,
        dropout=s.dropout if block.training else 0.0,
    )
    mixed, weights = frame.backend(q.transpose(1, 2), k, v, scores)
    if frame.wants_weights and weights is not None:
        frame.cross_weights.append(weights)
    return project(
        block.leaf("cross_o"), mixed.transpose(1, 2).reshape(-1, heads.query * heads.width)
    )  # [N, E]


def _encoder_keys(block: Block, s: spec.Attention, frame: Frame, layer: int) -> tuple[Tensor, Tensor]:
    """Keys and values of the encoder's states, [B, G, S, D], computed once where there is a cache."""
    assert frame.encoder is not None
    cache = frame.cache
    if cache is not None and cache.cross is not None and len(cache.cross) > layer:
        held = cache.cross.slots[layer].contents()
        if held is not None:
            return held
    batch, length, width = frame.encoder.shape
    flat = frame.encoder.reshape(batch * length, width)  # [B * S, E]
    k, v = (
        project(block.leaf(role), flat).view(batch, length, s.heads.key_value, s.heads.width).transpose(1, 2)
        for role in ("cross_k", "cross_v")
    )  # [B, G, S, D]
    if cache is not None:
        cache.cross = cache.cross if cache.cross is not None else Cache()
        cache.cross.slot(layer).update(k, v)
    return k, v
