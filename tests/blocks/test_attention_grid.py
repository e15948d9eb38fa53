"""Every backend honours every mask, or raises: backend x mask x heads x bias x options x cache.

The judge is written here from the definition of attention, one query at a time in float64, and knows
nothing of the library. `eager` is held against it; the other backends are held against `eager`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from formers.nn import attend
from formers.nn.attend import BACKENDS, Scores, Unsupported, backend
from formers.nn.cache import Growing, Ring, Slot, Static
from formers.nn.masks import (
    Causal,
    CausalChunk,
    Chunk,
    Explicit,
    Full,
    Mask,
    Padding,
    Prefix,
    Segments,
    Window,
)

B, H, D, T = 2, 4, 8, 9
UNTRACED = "torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"
GROUPS = {"one head each": 4, "two share": 2, "all share": 1}

_real = torch.tensor([[1] * 9, [0, 0] + [1] * 5 + [0, 0]], dtype=torch.bool)
_segments = torch.tensor([[0] * 4 + [1] * 5, [0, 0, 1, 1, 1, 1, 2, 2, 2]])
_grid = torch.rand(B, 1, T, T, generator=torch.Generator().manual_seed(3)) > 0.4
_prefix = torch.tensor([3, 6])

# name -> (the value, what it means: may query q of row b see key k?)
MASKS: dict[str, tuple[Mask, Any]] = {
    "full": (Full(), lambda b, q, k: True),
    "causal": (Causal(), lambda b, q, k: k <= q),
    "causal window 1": (Causal(1), lambda b, q, k: k == q),
    "causal window 3": (Causal(3), lambda b, q, k: q - 3 < k <= q),
    "causal window as long as the text": (Causal(T), lambda b, q, k: k <= q),
    "window 2": (Window(2), lambda b, q, k: abs(q - k) <= 2),
    "chunk 4": (Chunk(4), lambda b, q, k: q // 4 == k // 4),
    "chunk 2 and two before": (Chunk(2, 2), lambda b, q, k: 0 <= q // 2 - k // 2 <= 2),
    "chunk 2 and all before": (Chunk(2, -1), lambda b, q, k: k // 2 <= q // 2),
    "causal chunk 4": (CausalChunk(size=4), lambda b, q, k: k <= q and q // 4 == k // 4),
    "prefix": (Prefix(_prefix), lambda b, q, k: k <= q or k < int(_prefix[b])),
    "padding both sides": (Padding(_real), lambda b, q, k: bool(_real[b, k])),
    "packed": (Segments(_segments), lambda b, q, k: bool(_segments[b, q] == _segments[b, k])),
    "packed causal": (
        Segments(_segments) & Causal(),
        lambda b, q, k: bool(_segments[b, q] == _segments[b, k]) and k <= q,
    ),
    "causal over padding": (Causal() & Padding(_real), lambda b, q, k: k <= q and bool(_real[b, k])),
    "the caller's own": (Explicit(_grid), lambda b, q, k: bool(_grid[b, 0, q, k])),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale 1": {"scale": 1.0},
    "bias": {"bias": torch.randn(1, H, T, T, generator=torch.Generator().manual_seed(4))},
    "soft cap": {"softcap": 2.0},
    "sinks": {"sinks": torch.randn(H, generator=torch.Generator().manual_seed(5))},
    "bias and soft cap": {
        "bias": torch.randn(1, H, T, T, generator=torch.Generator().manual_seed(6)),
        "softcap": 1.5,
    },
}


def tensors(
    groups: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(B, H, T, D, generator=generator, dtype=torch.float64)
    k, v = (torch.randn(B, groups, T, D, generator=generator, dtype=torch.float64) for _ in range(2))
    return q.to(dtype), k.to(dtype), v.to(dtype)


def by_definition(
    q: Any, k: Any, v: Any, means: Any, options: dict[str, Any], queries: Any, keys: Any
) -> Any:
    """One query at a time, scalars where that is readable; nothing seen gives zeros."""
    out = torch.zeros_like(q)
    groups = k.shape[1]
    for b, h, i in itertools.product(range(q.shape[0]), range(H), range(q.shape[2])):
        g, at = h * groups // H, int(queries[i])
        exponents: list[float] = []
        seen: list[int] = []
        for j in range(k.shape[2]):
            if not means(b, at, int(keys[j])):
                continue
            score = float(q[b, h, i] @ k[b, g, j]) * options.get("scale", 1 / math.sqrt(D))
            if "softcap" in options:
                score = options["softcap"] * math.tanh(score / options["softcap"])
            if "bias" in options:
                score += float(options["bias"][0, h, i, j])
            seen.append(j)
            exponents.append(score)
        if not seen:
            continue
        top = max(exponents)
        weights = [math.exp(e - top) for e in exponents]
        total = sum(weights)
        if "sinks" in options:
            total += math.exp(float(options["sinks"][h]) - top)
        for j, weight in zip(seen, weights, strict=True):
            out[b, h, i] += weight / total * v[b, g, j]
    return out


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("groups", GROUPS.values(), ids=list(GROUPS))
@pytest.mark.parametrize("mask", list(MASKS))
def test_eager_is_attention_by_definition(mask: str, groups: int, options: dict[str, Any]) -> None:
    value, means = MASKS[mask]
    q, k, v = tensors(groups)
    at = torch.arange(T)
    mixed, weights = BACKENDS["eager"](q, k, v, Scores(value, at, at, **options))
    expected = by_definition(q, k, v, means, options, at, at)
    torch.testing.assert_close(mixed, expected, atol=1e-10, rtol=1e-9)
    assert weights is not None
    assert weights.shape == (B, H, T, T)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("block", [1, 1 << 18], ids=["pieces", "one piece"])
def test_pieces_of_the_scores_give_what_all_at_once_give(
    mask: str, options: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend, "_BLOCK", block)
    monkeypatch.setattr(attend, "_LEAST", 2)
    q, k, v = tensors(groups=2)
    at = torch.arange(T)
    for first in (0, 5):  # all queries, and those behind a cache
        scores = Scores(MASKS[mask][0], at[first:], at, **options)
        if "bias" in options:
            scores = replace(scores, bias=options["bias"][:, :, first:])
        given = q[:, :, first:].contiguous(), k, v
        found, weights = attend.piecewise(*given, scores)
        assert weights is None
        torch.testing.assert_close(found, BACKENDS["eager"](*given, scores)[0], atol=1e-10, rtol=1e-9)


def trace_few(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flex_attention trace masks and biases for one kind of heads alone, and run them for others.

    Heads have no part in what is traced, and tracing takes longer than all the rest.
    """
    if groups != GROUPS["two share"]:
        monkeypatch.setattr(UNTRACED, True)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("groups", GROUPS.values(), ids=list(GROUPS))
@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize(
    ("name", "training"),
    [("sdpa", False), ("sdpa", True), ("flex_attention", False)],
    ids=["sdpa-eval", "sdpa-train", "flex_attention"],
)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_every_backend_gives_what_eager_gives_or_raises(
    name: str,
    mask: str,
    groups: int,
    options: dict[str, Any],
    training: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace_few(groups, monkeypatch)
    value, _ = MASKS[mask]
    inputs = [t.requires_grad_(training) for t in tensors(groups, torch.float32)]
    at = torch.arange(T)
    scores = Scores(value, at, at, **options)
    refuses = {"sdpa": {"softcap", "sinks"}, "flex_attention": {"sinks"}}[name] & set(options)
    if refuses:
        with pytest.raises(Unsupported):
            backend(name)(*inputs, scores)
        return
    mixed, _ = backend(name)(*inputs, scores)
    again = [t.detach().double().requires_grad_(training) for t in inputs]
    expected, _ = BACKENDS["eager"](*again, scores)
    somewhere = _sees_something(value)
    torch.testing.assert_close(mixed[somewhere], expected[somewhere].float(), atol=2e-5, rtol=1e-4)
    if training:
        (mixed[somewhere].square().sum()).backward()
        (expected[somewhere].square().sum()).backward()
        for mine, theirs in zip(inputs, again, strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad.float(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("mask", list(MASKS))
def test_flex_attention_refuses_gradients_on_a_cpu(mask: str) -> None:
    inputs = [t.requires_grad_() for t in tensors(H, torch.float32)]
    at = torch.arange(T)
    with pytest.raises(Unsupported, match="no gradients on a CPU"):
        backend("flex_attention")(*inputs, Scores(MASKS[mask][0], at, at))


@pytest.mark.parametrize("queries", [1, 7], ids=["first token", "all tokens"])
@pytest.mark.parametrize("block", [1, 2 * H * 49, 1 << 18], ids=["one by one", "a few", "all at once"])
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]
)
def test_short_sequences_take_a_way_of_their_own(
    monkeypatch: Any, dtype: torch.dtype, error: float, block: int, queries: int
) -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 7, 3 * H * D).to(dtype)
    q, k, v = (t.view(5, 7, H, D).transpose(1, 2) for t in rows.chunk(3, dim=-1))
    q = q[:, :, :queries]
    scores = Scores(Full(), torch.arange(queries), torch.arange(7), scale=0.7)
    monkeypatch.setattr(attend, "_BLOCK", block)
    with monkeypatch.context() as context:
        context.setattr(attend.F, "scaled_dot_product_attention", None)  # it is not this that answers
        mixed, _ = backend("sdpa")(q, k, v, scores)
    expected, _ = BACKENDS["eager"](q.double(), k.double(), v.double(), scores)
    assert mixed.dtype is dtype
    torch.testing.assert_close(mixed.double(), expected, atol=error, rtol=error)


def _sees_something(mask: Mask) -> torch.Tensor:
    at = torch.arange(T)
    rows = torch.arange(B)[:, None, None]
    seen = mask.allowed(rows, at[None, :, None], at[None, None, :]).expand(B, T, T).any(-1)
    return seen[:, None].expand(B, H, T)


def test_dropout_is_drawn_on_the_weights_and_keeps_their_mean() -> None:
    q, k, v = tensors(H, torch.float32)
    at = torch.arange(T)
    for name in ("eager", "sdpa"):
        torch.manual_seed(0)
        scores = Scores(Full(), at, at, dropout=0.5)
        draws = torch.stack([backend(name)(q, k, v, scores)[0] for _ in range(3000)])
        expected, _ = BACKENDS["eager"](q, k, v, Scores(Full(), at, at))
        assert draws.std(0).max() > 0.1
        torch.testing.assert_close(draws.mean(0), expected, atol=0.12, rtol=0)
    with pytest.raises(Unsupported, match="dropout"):
        backend("flex_attention")(q, k, v, Scores(Full(), at, at, dropout=0.5))


CACHES: dict[str, tuple[Any, Mask]] = {
    "growing": (Growing, Causal()),
    "growing, room reserved": (lambda: Growing(32), Causal()),
    "static": (lambda: Static(T), Causal()),
    "growing under a window": (Growing, Causal(3)),
    "ring": (lambda: Ring(3), Causal(3)),
    "ring of one": (lambda: Ring(1), Causal(1)),
}


@pytest.mark.parametrize("steps", [(9,), (1,) * 9, (4, 1, 1, 3), (2, 5, 2)], ids=str)
@pytest.mark.parametrize("groups", GROUPS.values(), ids=list(GROUPS))
@pytest.mark.parametrize("kind", list(CACHES))
@pytest.mark.parametrize("name", list(BACKENDS))
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_cache_in_any_steps_gives_what_one_pass_gives(
    name: str, kind: str, groups: int, steps: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_few(groups, monkeypatch)
    make, mask = CACHES[kind]
    slot: Slot = make()
    q, k, v = tensors(groups, torch.float32)
    at = torch.arange(T)
    expected, _ = BACKENDS["eager"](q, k, v, Scores(mask, at, at))
    parts, start = [], 0
    for width in steps:
        new = slice(start, start + width)
        keys, values, first = slot.update(k[:, :, new], v[:, :, new])
        held = torch.arange(first, first + keys.shape[2])
        part, _ = backend(name)(q[:, :, new], keys, values, Scores(mask, at[new], held))
        parts.append(part)
        start += width
    assert slot.length == T
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, atol=2e-5, rtol=1e-4)


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"flash_attention_9.*eager"):
        backend("flash_attention_9")
