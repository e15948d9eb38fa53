"""Attention of one layer: project, turn, attend within each sequence, project back.

Roles: `q`, `k`, `v` or `qkv`, `q_norm`, `k_norm`, `mixed_norm`, `o`, `score_bias`, `weights_dropout`; of
cross attention: `cross_q`, ..., and `cross_kv` where it is fused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.notices import notice
from formers.nn import spec
from formers.nn.attend import Scores, Unsupported, eager
from formers.nn.cache import Cache
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, Drawn
from formers.nn.grids import Grid, GridBias
from formers.nn.interface import Own
from formers.nn.kernels import hooked, project
from formers.nn.leaves import linear, norm
from formers.nn.masks import Full, Mask, Padding, Written
from formers.nn.passing import Pass
from formers.nn.positions import Alibi, Buckets, PageBuckets, Rotary, rotate
from formers.nn.program import Bare, Flow, Step
from formers.nn.prompts import with_prompts
from formers.nn.recording import by_sizes
from formers.nn.steps import Normalise, Project
from formers.nn.tree import has, leaf


def keep_distances(table: Any, rule: Buckets, pass_: Pass, query: Tensor, key: Tensor) -> None:
    """Look the distances of `query` [T] and `key` [S] up for every layer of a pass.

    It is done anew where layers are recomputed; every layer reads it, so it is laid out as they do.
    """
    made: Tensor = table(rule.index(query, key))
    pass_.memo.put((rule, id(query), id(key)), made.permute(2, 0, 1)[None].contiguous())  # [1, H, T, S]


def distances(rule: Buckets | Grid, heads: int) -> nn.Module:
    """The table of distances that a rule tells apart."""
    return GridBias(rule, heads) if isinstance(rule, Grid) else nn.Embedding(rule.count, heads)


def grid_bias(table: Any, pass_: Pass) -> Tensor:
    """The bias of the grid of a pass, [1, H, T, T]; a pass that knows of none has that of the table."""
    grid: Grid = pass_.memo.get("grid") or table.grid
    device = pass_.geometry.positions.device
    key = by_sizes("index", *(getattr(grid, part.name) for part in fields(grid)))
    found: Tensor = table(grid, pass_.memo.once(key, lambda: grid.index(device)))
    return found


@dataclass(eq=False)
class Memory:
    """What attention with `held` reads in place of the encoder's states.

    Attributes:
        rows: [B, S, E].
        real: [B, S], bool, which may be seen; None for all.
    """

    rows: Tensor
    real: Tensor | None = None

    @cached_property
    def mask(self) -> Mask:
        """The same as a mask."""
        return Full() if self.real is None else Written(Padding(self.real))


class Attend(Step):
    """What the heads read and mix, before the output projection."""

    begins = attends = True

    def __init__(self, s: spec.Attention, width: int) -> None:
        super().__init__()
        self.spec, self.prefix = s, self._roles(s)
        heads = s.heads
        self.shown = {
            "num_attention_heads": heads.query,
            "num_heads": heads.query,
            "num_key_value_heads": heads.key_value,
            "num_key_value_groups": heads.query // heads.key_value,
            "attention_head_size": heads.width,
            "head_dim": heads.width,
            "all_head_size": heads.query * heads.width,
        }
        if s.fused:
            self.shown["split_size"] = heads.query * heads.width
        self.turns = s.rotary if isinstance(s.rotary, Rotary) else None
        self._make_projections(width)
        score_bias = s.score_bias
        if isinstance(score_bias, Buckets | Grid) and s.owns_score_bias:
            self.leaves["score_bias"] = lambda: distances(score_bias, s.heads.query)
        if s.sinks:
            self.leaves["sinks"] = lambda: Bare(torch.zeros(s.heads.query), Drawn())
        self.dropout = self.prefix + "weights_dropout"
        self.leaves[self.dropout] = lambda: Dropout(s.dropout)
        self.optional |= {self.dropout}

    def _roles(self, s: spec.Attention) -> str:
        """What roles begin with."""
        return f"{s.held}_" if s.held else "cross_" if s.cross else ""

    def _make_projections(self, width: int) -> None:
        """Say how queries, keys and values are made."""
        s = self.spec
        query, shared = s.heads.query * s.heads.width, s.heads.key_value * s.heads.width
        source = s.source or width
        if s.fused and s.cross:
            self.leaves["cross_q"] = lambda: linear(s.linear, width, query, s.bias)
            self.leaves["cross_kv"] = lambda: linear(s.linear, source, 2 * shared, s.bias)
        elif s.fused:
            whole = s.bias and s.biases is None
            self.leaves[self.prefix + "qkv"] = lambda: linear(s.linear, width, query + 2 * shared, whole)
            for role, kept, count in zip("qkv", s.biases or (), (query, shared, shared), strict=False):
                if kept:
                    self.leaves[f"{role}_bias"] = partial(Bare, torch.zeros(1, 1, count), Constant(0.0))
        else:
            made = 2 * query if s.gated else query
            of_q, of_k, of_v = s.biases or (s.bias, s.bias and s.key_bias, s.bias)
            self.leaves[self.prefix + "q"] = lambda: linear(s.linear, width, made, of_q)
            self.leaves[self.prefix + "k"] = lambda: linear(s.linear, source, shared, of_k)
            self.leaves[self.prefix + "v"] = lambda: linear(s.linear, source, shared, of_v)
        if s.qk_norm is not None:
            for role, heads in (("q_norm", s.heads.query), ("k_norm", s.heads.key_value)):
                normed = heads * s.heads.width if s.qk_norm_over == "all" else s.heads.width
                each = heads if s.qk_norm_over in ("each", "apart") else 0
                apart = s.qk_norm_over == "apart"
                self.leaves[self.prefix + role] = partial(norm, s.qk_norm, normed, each, apart)
            if not s.qk_norm.weight:  # one leaf may serve both
                self.optional |= {self.prefix + "q_norm", self.prefix + "k_norm"}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., H * D]."""
        if self.spec.cross:
            mixed = self._across(node, flow)
        elif flow.kept is not None:
            mixed = self._first(node, flow, flow.kept)
        else:
            mixed = self._within(node, flow)
        if self.spec.by_time and flow.watched:
            mixed = mixed.transpose(0, 1)
        flow.x = mixed.flatten(-2)
        if flow.gate is not None:
            flow.x, flow.gate = flow.x * flow.gate.sigmoid(), None

    def swift(self, node: Any) -> Callable[[Flow], None] | None:
        """As `run`, where a sequence attends to itself in the plain way."""
        from formers.nn.mixers.single import attend_single, plain

        if type(self) is not Attend or not plain(self.spec):
            return None
        return attend_single(self.spec, node, self.dropout)

    # -- to itself ------------------------------------------------------------------------------------

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """Attention of a sequence to itself: [.., H, D]."""
        q, k, v = self._project(node, flow)
        if self.spec.by_time and flow.watched:
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        if self.spec.rotary is not None and not self.spec.rotary_first:
            cos, sin = flow.pass_.rotary(self.spec.rotary, flow.x.dtype)
            q, k = (rotate(t, cos, sin, self.spec.rotary.adjacent) for t in (q, k))
            if self.spec.rotary_value:
                v = rotate(v, cos, sin, self.spec.rotary.adjacent)
        if self.spec.qk_norm_last:
            q, k = self._normed(node, q, k, flow.pass_.watched)
        if self.spec.warmth is not None:
            q = (q * _warmth(flow.pass_, *self.spec.warmth)).to(q.dtype)
        if flow.pass_.cache is not None:
            return self._cached(node, flow, q, k, v)
        return self._by_span(node, flow, q, k, v)

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """[.., E] -> [.., H, D], [.., G, D], [.., G, D]."""
        s, heads, x, watched = self.spec, self.spec.heads, flow.x, flow.watched
        if s.fused:
            q, k, v = self._taken_apart(
                self._clipped(project(leaf(node, self.prefix + "qkv"), x, None, watched))
            )
            if s.biases is not None:
                pairs = zip("qkv", (q, k, v), s.biases, strict=True)
                q, k, v = (
                    t + leaf(node, f"{role}_bias").view(t.shape[-2:]) if kept else t
                    for role, t, kept in pairs
                )
        else:
            at = placed(x, flow.pass_) if s.placed else x
            if s.rotary_first and isinstance(s.rotary, Rotary):
                turns = flow.pass_.rotary(s.rotary, x.dtype)
                at = rotate(_by_head(x, heads.query), *turns, s.rotary.adjacent).flatten(-2)
            reads = {"q": at, "k": at, "v": x}
            q, k, v = (
                project(leaf(node, self.prefix + role), read, None, watched) for role, read in reads.items()
            )
            if s.gated:
                q, gate = _of_width(q, 2 * heads.width).chunk(2, dim=-1)
                q, flow.gate = q.flatten(-2), gate.flatten(-2)
            if not s.clip_normed:
                q, k, v = self._clipped(q), self._clipped(k), self._clipped(v)
            if s.qk_norm_over == "all" and s.qk_norm is not None:
                q, k = self._normed(node, q, k, watched)
            if s.clip_normed:
                q, k, v = self._clipped(q), self._clipped(k), self._clipped(v)
            q, k, v = (_of_width(t, heads.width) for t in (q, k, v))
        if s.qk_norm is not None and s.qk_norm_over != "all" and not s.qk_norm_last:
            q, k = self._normed(node, q, k, watched)
        return q, k, v

    def _normed(self, node: Any, q: Tensor, k: Tensor, watched: bool) -> tuple[Tensor, Tensor]:
        """The shapes stay."""
        turned = watched and self.spec.heads_first
        if watched and self.spec.heads_flat:
            parts = (("q_norm", q), ("k_norm", k))
            q, k = (leaf(node, self.prefix + role)(t.flatten(0, 1)).view(t.shape) for role, t in parts)
            return q, k
        q, k = (t.transpose(-3, -2) if turned else t for t in (q, k))
        q, k = leaf(node, self.prefix + "q_norm")(q), leaf(node, self.prefix + "k_norm")(k)
        q, k = (t.transpose(-3, -2) if turned else t for t in (q, k))
        return q, k

    def _clipped(self, x: Tensor) -> Tensor:
        clip = self.spec.clip
        return x if clip is None else x.clamp(-clip, clip)

    def _taken_apart(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """[.., (H + 2 G) * D] -> [.., H, D], [.., G, D], [.., G, D]."""
        heads = self.spec.heads
        if self.spec.fused == "groups":
            shape = (heads.key_value, heads.query // heads.key_value + 2, heads.width)
            grouped = qkv.view(*qkv.shape[:-1], *shape)  # [.., G, H/G + 2, D]
            return grouped[..., :-2, :].flatten(-3, -2), grouped[..., -2, :], grouped[..., -1, :]
        if self.spec.fused == "quarters":
            parts = qkv.view(*qkv.shape[:-1], 4, 3, heads.query // 4, heads.width)
            q, v, k = (part.flatten(-3, -2) for part in parts.unbind(-3))
            return q, k, v
        by_head = _by_head(qkv, heads.query + 2 * heads.key_value)
        return torch.split(by_head, [heads.query, heads.key_value, heads.key_value], dim=-2)

    def _by_span(self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within each run of equal lengths. Returns [.., H, D]."""
        layout, mixed = flow.pass_.layout, []
        if q.dim() == 4 and self.spec.within:  # [1, N, H, D]
            return self._by_span(node, flow, q[0], k[0], v[0])[None]
        if q.dim() == 4:  # [B, T, H, D]: one run
            at = flow.pass_.range(0, q.shape[1])
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
            return self._attend(node, flow, q, k, v, at, at).transpose(1, 2)  # [B, T, H, D]
        if self.spec.within:
            layout = flow.pass_.memo.get(self.spec.within)
            q, k, v = (layout.pack(t[None]) for t in (q, k, v))
        parts = (layout.by_span(t) for t in (q, k, v))
        for span, *qkv in zip(layout.spans, *parts, strict=True):
            q_, k_, v_ = (t.transpose(1, 2) for t in qkv)  # [b, H, t, D]
            at = flow.pass_.range(0, span.length)
            out = self._attend(node, flow, q_, k_, v_, at, at)
            mixed.append(out.transpose(1, 2).flatten(0, 1))  # [b * t, H, D]
        found = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        return layout.unpack(found)[0] if self.spec.within else found

    def _first(self, node: Any, flow: Flow, first: Tensor) -> Tensor:
        """Let the first token of every sequence attend to its own sequence. Returns [sequences, H, D]."""
        heads, layout, x = self.spec.heads, flow.pass_.layout, flow.x
        q = project(leaf(node, "q"), x.index_select(0, first), None, False).view(-1, heads.query, heads.width)
        k, v = (
            layout.by_span(project(leaf(node, role), x, None, False).view(-1, heads.key_value, heads.width))
            for role in ("k", "v")
        )  # [b, t, G, D] each
        firsts = torch.split(q, [span.count for span in layout.spans])
        mixed = []
        for span, one, keys, values in zip(layout.spans, firsts, k, v, strict=True):
            q_, k_, v_ = one[:, :, None], keys.transpose(1, 2), values.transpose(1, 2)  # [b, H, 1 or t, D]
            at = flow.pass_.range(0, 1), flow.pass_.range(0, span.length)
            mixed.append(self._attend(node, flow, q_, k_, v_, *at)[:, :, 0])  # [b, H, D]
        return torch.cat(mixed)

    def _cached(self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend to everything the layer's slot holds and what is new. Returns [.., H, D]."""
        pass_, rows = flow.pass_, q.shape[:-1]
        assert pass_.cache is not None
        layout, past = pass_.layout, pass_.geometry.past
        q, k, v = (
            t.reshape(layout.batch, layout.length, *t.shape[-2:]).transpose(1, 2) for t in (q, k, v)
        )  # [B, H, T, D]
        keys, values, first = pass_.cache.slot(flow.index).update(k, v)
        queries = pass_.range(past, past + layout.length)
        at = pass_.range(first, first + keys.shape[2])
        keys, values = self._read(node, flow, keys, values)
        mixed = self._attend(node, flow, q, keys, values, queries, at).transpose(1, 2)  # [B, T, H, D]
        return mixed.reshape(*rows, -1)

    def _read(self, node: Any, flow: Flow, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, G, S, D], from what a slot holds."""
        return keys, values

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        scores = Scores(
            flow.pass_.visibility.mask(self.spec.mask.over(k.shape[2])),
            query,
            key,
            bias=self._bias(node, flow, q, k, query, key),
            scale=self.spec.scale,
            softcap=self.spec.softcap,
            sinks=leaf(node, "sinks") if self.spec.sinks else None,
        )
        return self._mix(node, flow, q, k, v, scores, "attentions")

    def _mix(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, scores: Scores, name: str
    ) -> Tensor:
        """Mix by the pass's backend; a dropout that somebody looks at is called, on the weights."""
        backend = flow.pass_.backend
        prompts = None if self.spec.prompts is None else flow.pass_.memo.get(f"{self.prefix}prompts")
        if prompts is not None:  # a layer that is called by itself has none
            k, v, scores = with_prompts(prompts[flow.index], k, v, scores, flow.pass_)
        rate, called = self._dropped(node, flow, isinstance(backend, Own))
        if called is not None:
            backend = eager
        elif isinstance(backend, Own):
            backend = backend.of(node, flow.index, self.spec)
        mixed, weights = backend(q, k, v, scores.with_dropout(rate, called))
        if weights is not None and name in flow.pass_.trace:
            flow.weights = weights
            flow.pass_.keep(name, weights)
        return mixed

    def _dropped(self, node: Any, flow: Flow, own: bool) -> tuple[float, Any]:
        """The rate at which weights are dropped; or 0, and the module that is called on them.

        A function of somebody's `own` drops by itself and calls no module.

        Raises:
            Unsupported: for such a function, and a dropout of another kind in the place of the usual one.
        """
        found = leaf(node, self.dropout) if has(node, self.dropout) else None
        if found is None or not self.spec.drops:
            return (self.spec.dropout if node.training and self.spec.drops else 0.0), None
        usual, looked = type(found) in (Dropout, nn.Dropout), flow.watched and hooked(found)
        if own and looked:
            notice(
                "an attention function of your own drops weights by itself: hooks on the dropout of "
                "attention weights are not called"
            )
        if usual and (own or not looked):
            return (float(found.p) if found.training else 0.0), None
        if own and type(found) is not nn.Identity:
            raise Unsupported(
                "an attention function of your own drops weights by itself and calls no "
                f"{type(found).__name__} in the place of the dropout; use 'eager', or drop them yourself"
            )
        return 0.0, None if own else found

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """What is added to the scaled scores."""
        return self._score_bias(node, flow.pass_, query, key)

    def _score_bias(self, node: Any, pass_: Pass, query: Tensor, key: Tensor) -> Tensor | None:
        """[B or 1, 1 or H, T, S]: the caller's and that of distances.

        The layer that owns the table of distances computes theirs, the others find it in the memo.
        """
        rule, told = self.spec.score_bias, pass_.visibility.bias
        if rule is None:
            return told
        place = (rule, id(query), id(key))  # the pass keeps its ranges, so ids are not used again
        if isinstance(rule, Alibi):
            count = self.spec.heads.query
            numbers = key if rule.columns else pass_.visibility.numbers(key)
            slope = pass_.memo.once(place, lambda: rule.bias(numbers, count))
            return slope if told is None else slope + told
        if isinstance(rule, Grid | PageBuckets):
            own = grid_bias(leaf(node, "score_bias"), pass_) if has(node, "score_bias") else None
            each = [bias for bias in (own, pass_.memo.get(rule), told) if bias is not None]
            return sum(each[1:], start=each[0]) if each else None
        found = self._from_table(node, rule, pass_, query, key)
        return found if told is None else found + told

    def _from_table(self, node: Any, rule: Buckets, pass_: Pass, query: Tensor, key: Tensor) -> Tensor:
        """[1, H, T, S]: what the table of distances adds, this layer's or that of one before it."""
        if has(node, "score_bias"):
            keep_distances(leaf(node, "score_bias"), rule, pass_, query, key)
        found: Tensor | None = pass_.memo.get((rule, id(query), id(key)))
        if found is None:
            raise ValueError("this layer reads the table of distances of another layer, which has not run")
        return found

    # -- to the encoder -------------------------------------------------------------------------------

    def _across(self, node: Any, flow: Flow) -> Tensor:
        """Attention of the decoder's tokens to the encoder's states. [.., E] -> [.., H, D]."""
        heads, pass_ = self.spec.heads, flow.pass_
        x = placed(flow.x, pass_) if self.spec.placed else flow.x
        q = _of_width(project(leaf(node, self.prefix + "q"), x, None, pass_.watched), heads.width)
        q = q.transpose(0, 1) if self.spec.by_time and pass_.watched else q
        batched = q.reshape(pass_.layout.batch, pass_.layout.length, *q.shape[-2:])
        memory = self._memory(pass_)
        if memory is None:
            k, v = self._encoder_keys(node, pass_, flow.index)
        else:
            k, v = self._keys(node, pass_, memory.rows)
        if k.shape[0] != batched.shape[0]:  # rows that share their encoder's states, one after the other
            batched = batched.reshape(k.shape[0], -1, *batched.shape[2:])  # [B, rows * T, H, D]
        scores = Scores(
            pass_.visibility.encoder_mask if memory is None else memory.mask,
            pass_.range(0, batched.shape[1]),
            pass_.range(0, k.shape[2]),
            scale=self.spec.scale,
        )
        mixed = self._mix(node, flow, batched.transpose(1, 2), k, v, scores, f"{self.prefix}attentions")
        return mixed.transpose(1, 2).reshape(q.shape)

    def _memory(self, pass_: Pass) -> Memory | None:
        """What is read in place of the encoder's states.

        Raises:
            ValueError: for a layer that is called by itself.
        """
        name = self.spec.held
        found: Memory | None = pass_.memo.get(name) if name else None
        if name and found is None:
            raise ValueError(f"this attention reads a {name} beside its rows: call the model, not a part")
        return found

    def _encoder_keys(self, node: Any, pass_: Pass, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the encoder's states, [B, G, S, D], computed once where there is a cache."""
        cache, states = pass_.cache, pass_.visibility.encoder
        assert states is not None
        if cache is not None and cache.cross is not None and len(cache.cross) > index:
            held = cache.cross.slots[index].contents()
            if held is not None:
                return held
        k, v = self._keys(node, pass_, states)
        if cache is not None:
            cache.cross = cache.cross if cache.cross is not None else Cache()
            cache.cross.slot(index).update(k, v)
        return k, v

    def _keys(self, node: Any, pass_: Pass, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what another stack made, [B, S, E] -> [B, G, S, D] each."""
        batch, length, width = states.shape
        flat = states if pass_.watched else states.reshape(batch * length, width)  # [B * S, E]
        turned = self.spec.by_time and pass_.watched
        flat = flat.transpose(0, 1) if turned else flat
        roles = ("kv",) if self.spec.fused else ("k", "v")
        own = self.spec.placed and not self.spec.held
        beside = pass_.memo.get("encoder places") if own else None
        at = flat if beside is None else flat + beside.reshape(flat.shape)
        made = [
            project(leaf(node, self.prefix + role), flat if role == "v" else at, None, pass_.watched)
            for role in roles
        ]
        made = list(made[0].chunk(2, dim=-1)) if self.spec.fused else made
        made = [t.transpose(0, 1) for t in made] if turned else made
        width = self.spec.heads.width
        k, v = (t.reshape(batch, length, t.shape[-1] // width, width).transpose(1, 2) for t in made)
        return k, v


def placed(x: Tensor, pass_: Pass) -> Tensor:
    """Rows with what stands beside them for their places, where the pass holds that."""
    beside = pass_.memo.get("places")
    return x if beside is None else x + beside


def _of_width(x: Tensor, width: int) -> Tensor:
    """[.., H * D] -> [.., H, D]: as many heads as the leaf has, where processes share them."""
    return _by_head(x, x.shape[-1] // width)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """[.., H * D] -> [.., H, D]."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads)


def _warmth(pass_: Pass, factor: float, floor: float) -> Tensor:
    """[.., 1, 1], float32; see `spec.Attention.warmth`."""

    def make() -> Tensor:
        grown = torch.log1p(torch.floor((pass_.tokens().float() + 1.0) / floor))
        return (grown * factor + 1.0)[..., None, None]

    return pass_.memo.once(("warmth", factor, floor), make)


def attention_steps(s: spec.Attention, width: int) -> list[Step]:
    """Attend, norm what was mixed where there is such a norm, project back."""
    attend, mixed = Attend(s, width), s.heads.query * s.heads.width
    out = Project(f"{attend.prefix}o", lambda: linear(s.linear, mixed, width, s.out_bias))
    if s.mixed_norm is None:
        return [attend, out]
    return [attend, Normalise(f"{attend.prefix}mixed_norm", s.mixed_norm, mixed), out]
