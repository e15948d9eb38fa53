"""Attention backends: one function each, from q, k, v and a mask value to the mixed values.

A backend honours every mask, bias and option that it is given, or raises `Unsupported`; none ignores
one. `eager` is the reference for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.notices import notice
from formers.nn.dropout import drop
from formers.nn.masks import Causal, Full, Mask, materialise
from formers.nn.recording import recording

_SHORT = 256  # keys up to which two batched products beat torch's fused kernel on a CPU
_BLOCK = 1 << 18  # scores that are computed together there: they stay in the processor's cache
_LEAST = 32  # queries of a piece: with fewer, there are too many products


class Unsupported(ValueError):
    """The backend cannot do what was asked of it."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What shapes the scores of one call.

    Attributes:
        mask: which keys are seen.
        query: positions of the queries, [T], int64, ascending.
        key: positions of the keys, [S], int64, ascending.
        bias: added to the scaled scores, broadcasting to [B, H, T, S]; None for none.
        scale: factor on the raw scores; 1/sqrt(D) when None.
        dropout: probability of dropping a weight; 0 outside training.
        softcap: scores become c * tanh(scores / c) before bias and mask.
        sinks: [H], one extra logit per head that takes weight and gives no value.
        drop: what drops weights in place of `dropout`; `eager` alone calls it.
    """

    mask: Mask
    query: Tensor
    key: Tensor
    bias: Tensor | None = None
    scale: float | None = None
    dropout: float = 0.0
    softcap: float | None = None
    sinks: Tensor | None = None
    drop: Callable[[Tensor], Tensor] | None = None

    def with_dropout(self, rate: float, called: Callable[[Tensor], Tensor] | None = None) -> Scores:
        """The same scores, whose weights are dropped at `rate`, or (in eager) by a module."""
        same = rate == self.dropout and called is self.drop
        return self if same else replace(self, dropout=rate, drop=called)


def eager(q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """Attention written out (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    The softmax runs in float32 at least. A query that sees no key gives zeros.

    Args:
        q: [B, H, T, D].
        k: [B, G, S, D].
        v: [B, G, S, D].
        scores: mask, bias and options.

    Returns:
        Mixed values [B, H, T, D] and weights [B, H, T, S], in the dtype of `q`.
    """
    k, v = spread(k, q.shape[1]), spread(v, q.shape[1])  # [B, H, S, D]
    logits = q @ k.transpose(-1, -2) * _scale(q, scores)  # [B, H, T, S]
    if scores.softcap is not None:
        logits = torch.tanh(logits / scores.softcap) * scores.softcap
    if scores.bias is not None:
        logits = logits + scores.bias
    seen = materialise(scores.mask, q.shape[0], scores.query, scores.key)
    if seen is not None:
        logits = logits.masked_fill(~seen, float("-inf"))
    weights = _softmax(logits, scores.sinks, seen).to(q.dtype)
    dropped = drop(weights, scores.dropout) if scores.dropout else weights
    if scores.drop is not None:
        dropped = scores.drop(weights)
    return dropped @ v, weights


def _softmax(logits: Tensor, sinks: Tensor | None, seen: Tensor | None) -> Tensor:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    if sinks is None:
        weights = wide.softmax(-1)
    else:
        extra = sinks.to(wide.dtype)[None, :, None, None].expand(*wide.shape[:-1], 1)  # [B, H, T, 1]
        weights = torch.cat((wide, extra), dim=-1).softmax(-1)[..., :-1]  # [B, H, T, S]
    return weights if seen is None else weights.masked_fill(~seen.any(-1, keepdim=True), 0.0)


def sdpa(q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, None]:
    """Attention through torch's fused kernels; shapes as in `eager`, no weights."""
    if scores.softcap is not None or scores.sinks is not None:
        raise Unsupported("sdpa has no soft cap and no sinks; use attn_implementation='eager'")
    grouped = bool(k.shape[1] != q.shape[1])  # a tensor while torch.jit traces
    if isinstance(scores.mask, Full) and scores.bias is None:
        mask, causal = None, False
    elif plain_causal(scores):
        mask, causal = None, True
    else:
        mask, causal = _combined(q, scores), False
    if mask is None and not (causal or grouped or scores.dropout) and _short(q, k, v):
        return _in_blocks(q, k, v, _scale(q, scores)), None
    mixed = F.scaled_dot_product_attention(
        q, k, v, mask, scores.dropout, causal, scale=scores.scale, enable_gqa=grouped
    )
    return mixed, None


def _short(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether two batched products beat the fused kernel: few keys, on a CPU, with no gradients."""
    return 0 < k.shape[2] <= _SHORT and _free(q, k, v)


def _free(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether scores may be written over: on a CPU, with no gradients."""
    tracked = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    return q.device.type == "cpu" and not recording() and not tracked


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention with nothing masked, for as many sequences at a time as a processor's cache holds.

    torch's fused kernel goes through tiles that are as small as the sequences; here all sequences of a
    block share one batched product. Scores and weights are float32 at least. Shapes as in `eager`.
    """
    batch, heads, length, _ = q.shape
    keys = k.shape[2]
    wide = torch.promote_types(q.dtype, torch.float32)
    mixed = q.new_empty(batch, length, heads, v.shape[-1])
    step = max(1, _BLOCK // (heads * length * keys))
    for start in range(0, batch, step):
        q_, k_, v_ = (
            t[start : start + step]
            .to(wide, memory_format=torch.contiguous_format)
            .reshape(-1, n, t.shape[-1])
            for t, n in ((q, length), (k, keys), (v, keys))
        )  # [b * H, T, D], [b * H, S, D] twice
        logits = torch.baddbmm(q_.new_empty(1, 1, 1), q_, k_.transpose(1, 2), beta=0, alpha=scale)
        found = torch.bmm(logits.softmax(-1), v_)  # [b * H, T, D]
        mixed[start : start + step] = found.view(-1, heads, length, v.shape[-1]).transpose(1, 2)
    return mixed.transpose(1, 2)  # [B, H, T, D]


def piecewise(q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor | None]:
    """`eager` for as many scores at a time as a processor's cache holds, and keys that are seen; no weights.

    On a CPU with no gradients; elsewhere all at once.
    """
    if scores.dropout or scores.drop is not None or not q.numel() or not _free(q, k, v):
        return eager(q, k, v, scores)
    batch, heads, length, _ = q.shape
    step = min(length, max(_LEAST, _BLOCK // (heads * k.shape[2])))
    rows = max(1, _BLOCK // (heads * step * k.shape[2]))
    mixed = q.new_empty(batch, length, heads, v.shape[-1])
    for start in range(0, length, step):
        queries = slice(start, start + step)
        keys, seen = _reach(scores, batch, queries)
        for row in range(0, batch, rows):
            these = slice(row, row + rows)
            hidden = None if seen is None else ~_cut(seen, these)
            bias = None if scores.bias is None else _cut(scores.bias, these, slice(None), queries, keys)
            parts = q[these, :, queries], k[these, :, keys], v[these, :, keys]
            mixed[these, queries] = _piece(*parts, scores, bias, hidden).transpose(1, 2)
    return mixed.transpose(1, 2), None


def _piece(
    q: Tensor, k: Tensor, v: Tensor, scores: Scores, bias: Tensor | None, hidden: Tensor | None
) -> Tensor:
    """As `eager`, with the bias and what is hidden of these scores: [b, H, t, D]."""
    rows, heads, length, _ = q.shape
    groups, count = k.shape[1:3]
    q, k, v = (t.reshape(rows * groups, -1, t.shape[-1]) for t in (q, k, v))  # heads that share keys are one
    raw = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=_scale(q, scores))
    logits = raw.view(rows, heads, length, count)
    if scores.softcap is not None:
        logits.div_(scores.softcap).tanh_().mul_(scores.softcap)
    if bias is not None:
        logits = logits + bias
    if hidden is not None:
        logits.masked_fill_(hidden, float("-inf"))
    wide = logits if logits.dtype == torch.float64 else logits.float()
    weights = wide.softmax(-1).to(q.dtype).view(rows * groups, -1, count)
    mixed = torch.bmm(weights, v).view(rows, heads, length, -1)
    if scores.sinks is not None:  # what a sink takes, all values lose alike
        left = torch.sigmoid(wide.logsumexp(-1, keepdim=True) - scores.sinks[:, None, None])
        mixed = mixed * left.to(mixed.dtype)
    return mixed if hidden is None else mixed.masked_fill_(hidden.all(-1, keepdim=True), 0.0)


def _reach(scores: Scores, batch: int, queries: slice) -> tuple[slice, Tensor | None]:
    """Between which keys those are that some queries see, and which of them each sees."""
    mask, query, key = scores.mask, scores.query[queries], scores.key
    if type(mask) is not Causal:
        seen = materialise(mask, batch, scores.query, key)
        return slice(0, len(key)), None if seen is None else seen[:, :, queries]
    first = 0 if mask.window is None else int(torch.searchsorted(key, query[:1] - mask.window, right=True))
    keys = slice(first, int(torch.searchsorted(key, query[-1:], right=True)))
    return keys, materialise(mask, batch, query, key[keys])


def _cut(x: Tensor, *parts: slice) -> Tensor:
    """The parts of the axes along which a tensor does not broadcast."""
    return x[tuple(part if size > 1 else slice(None) for part, size in zip(parts, x.shape, strict=False))]


def plain_causal(scores: Scores) -> bool:
    """Whether torch's own causal flag says the same: same positions on both sides, no window, no bias."""
    mask = scores.mask
    if type(mask) is not Causal or mask.window is not None or scores.bias is not None:
        return False
    return scores.query is scores.key


def _combined(q: Tensor, scores: Scores) -> Tensor | None:
    seen = materialise(scores.mask, q.shape[0], scores.query, scores.key)
    if scores.bias is None:
        return seen
    bias = scores.bias.to(q.dtype)
    return bias if seen is None else bias.masked_fill(~seen, float("-inf"))


def flex(q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, None]:
    """Attention through torch's flex_attention; shapes as in `eager`, no weights."""
    from torch.nn.attention.flex_attention import flex_attention

    if scores.dropout:
        raise Unsupported("flex_attention has no dropout; use attn_implementation='sdpa' in training")
    tracked = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if tracked and q.device.type == "cpu":
        raise Unsupported(
            "flex_attention has no gradients on a CPU; use attn_implementation='sdpa' in training"
        )
    if scores.sinks is not None:
        raise Unsupported("the flex backend has no sinks; use attn_implementation='eager'")
    mask, bias, cap = scores.mask, scores.bias, scores.softcap
    if bias is not None:
        bias = bias.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])  # [B, H, T, S]

    def shape_score(score: Tensor, b: Tensor, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        if cap is not None:
            score = torch.tanh(score / cap) * cap
        if bias is not None:
            score = score + bias[b, h, t, s]
        if isinstance(mask, Full):
            return score
        seen = mask.allowed(b, scores.query[t], scores.key[s])
        return torch.where(seen, score, unseen)

    # a finite floor: a query that sees nothing would have no gradient that is a number
    unseen = torch.finfo(q.dtype).min / 2
    grouped = k.shape[1] != q.shape[1]
    mixed = flex_attention(q, k, v, score_mod=shape_score, scale=scores.scale, enable_gqa=grouped)
    assert isinstance(mixed, Tensor)
    if mask.per_row:
        seen = materialise(mask, q.shape[0], scores.query, scores.key)
        assert seen is not None
        mixed = mixed.masked_fill(~seen.any(-1, keepdim=True), 0.0)
    return mixed, None


Backend = Callable[[Tensor, Tensor, Tensor, Scores], "tuple[Tensor, Tensor | None]"]

BACKENDS: dict[str, Backend] = {"eager": eager, "sdpa": sdpa, "flex_attention": flex}
# what a backend can do beside masks and biases, which all of them honour
_CAN: dict[str, frozenset[str]] = {
    "eager": frozenset({"softcap", "sinks", "weights", "transforms"}),
    "sdpa": frozenset(),
    "flex_attention": frozenset({"softcap"}),
}
_OWN: set[str] = set()  # names that were added


def add_backend(name: str, made: Backend) -> None:
    """Make a backend known that is somebody's own; it is told of all that a model needs.

    Raises:
        ValueError: for the name of one that is here already and nobody's own.
    """
    if name in BACKENDS and name not in _OWN:
        raise ValueError(f"{name!r} is how models attend by themselves; register yours under another name")
    BACKENDS[name], _CAN[name] = made, frozenset({"softcap", "sinks", "weights", "transforms"})
    _OWN.add(name)


def remove_backend(name: str) -> None:
    """Forget a backend that was added."""
    _OWN.remove(name)
    del BACKENDS[name], _CAN[name]


def backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        ValueError: for a name that is not available, naming those that are.
    """
    if name not in BACKENDS:
        raise ValueError(f"attn_implementation={name!r} is not available; choose one of {sorted(BACKENDS)}")
    return BACKENDS[name]


def choose(name: str | None, needs: frozenset[str]) -> Backend:
    """The backend that was asked for, or the first that can do what the model needs.

    Args:
        name: what the person asked for; None where nobody asked.
        needs: "softcap", "sinks", "weights" (they are returned), "transforms" (`torch.func` runs).

    Raises:
        ValueError: for a name that is not available.
    """
    asked = backend(name or "sdpa")
    if needs <= _CAN[name or "sdpa"]:
        return asked
    fitting = next(other for other in ("sdpa", "eager") if needs <= _CAN[other])
    if name is not None and needs - {"weights", "transforms"}:
        what = " and ".join(sorted(needs - _CAN[name]))
        notice(f"attn_implementation={name!r} has no {what}, which this model needs; {fitting!r} is used")
    return piecewise if fitting == "eager" and name is None and "weights" not in needs else BACKENDS[fitting]


def _scale(q: Tensor, scores: Scores) -> float:
    return scores.scale if scores.scale is not None else 1.0 / math.sqrt(q.shape[-1])


def spread(x: Tensor, heads: int) -> Tensor:
    """[B, G, S, D] -> [B, H, S, D], each key/value head serving its share of query heads."""
    batch, groups, length, width = x.shape
    if groups == heads:
        return x
    x = x[:, :, None].expand(batch, groups, heads // groups, length, width)  # [B, G, H/G, S, D]
    return x.reshape(batch, heads, length, width)
