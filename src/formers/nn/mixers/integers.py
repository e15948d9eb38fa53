"""Parts of a layer that may compute in integers: see `spec.Arithmetic`. Scales go through the pass's memo."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.integers import (
    IntegerGelu,
    IntegerSoftmax,
    Requantise,
    integer_linear,
    integer_norm,
)
from formers.nn.interface import without_own
from formers.nn.masks import materialise
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.steps import Drop, Project, apply
from formers.nn.tree import has, leaf

_NOW, _ENTERED, _ENTERS = "scale", "entered scale", "enters"


def enters(pass_: Pass, index: int, scale: Tensor | None) -> None:
    """Say by which scale layer `index` reads."""
    pass_.memo.put((_ENTERS, index), scale)


class _Enter(Step):
    """A part begins: what it reads, and its scale, are what its result will be added to."""

    opens = True

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] stays."""
        memo = flow.pass_.memo
        flow.entered = flow.read = flow.x
        if self.first:
            memo.put(_NOW, memo.get((_ENTERS, flow.index)))
        memo.put(_ENTERED, memo.get(_NOW))


class _Leave(Step):
    """The layer ends: the next one reads by the scale that there is now."""

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] stays."""
        enters(flow.pass_, flow.index + 1, flow.pass_.memo.get(_NOW))


class _Round(Step):
    """Round what there is, or if it `adds` its sum with what was entered."""

    def __init__(self, role: str, bits: int, whole: bool, adds: bool = False) -> None:
        super().__init__()
        self.role, self.whole, self.adds = role, whole, adds
        self.leaves[role] = lambda: Requantise(bits, whole)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        found, memo = leaf(node, self.role), flow.pass_.memo
        if not (self.whole or flow.watched or found.training):
            if self.adds and flow.entered is not None:
                flow.x = flow.entered + flow.x
            return
        more = (flow.entered, memo.get(_ENTERED)) if self.adds else ()
        flow.x, scale = found(flow.x, memo.get(_NOW), *more)
        memo.put(_NOW, scale)


class _Count(Step):
    """A leaf that takes and gives a scale."""

    def __init__(self, role: str, make: Any) -> None:
        super().__init__()
        self.role, self.leaves[role] = role, make

    def run(self, node: Any, flow: Flow) -> None:
        """[.., in] -> [.., out]."""
        memo = flow.pass_.memo
        flow.x, scale = leaf(node, self.role)(flow.x, memo.get(_NOW))
        memo.put(_NOW, scale)


class _Exact(Step):
    """A leaf of floating-point numbers: what it gives has no scale."""

    def __init__(self, role: str, make: Any) -> None:
        super().__init__()
        self.role, self.leaves[role] = role, make

    def run(self, node: Any, flow: Flow) -> None:
        """[.., in] -> [.., out]."""
        flow.x = leaf(node, self.role)(flow.x)
        flow.pass_.memo.put(_NOW, None)


class AttendIntegers(Attend):
    """Project, attend, in integers or not."""

    spec: spec.IntegerAttention

    def _make_projections(self, width: int) -> None:
        whole, inner = self.spec.arithmetic.whole, self.spec.heads.query * self.spec.heads.width
        for role in ("q", "k", "v"):
            self.leaves[role] = partial(integer_linear, width, inner, whole)
        for role in ("q", "k", "v"):
            self.leaves[f"{role}_act"] = lambda: Requantise(8, whole)
        softmax = self.spec.arithmetic.of("softmax")
        self.leaves["softmax"] = lambda: IntegerSoftmax(softmax)

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        whole, memo = self.spec.arithmetic.whole, flow.pass_.memo
        entering, values, scales = memo.get(_NOW), [], []
        for role in ("q", "k", "v"):
            found, act = leaf(node, role), leaf(node, f"{role}_act")
            x, scale = found(flow.x, entering) if whole else (apply(node, role, flow.x, flow.watched), None)
            if whole or flow.watched or act.training:
                x, scale = act(x, scale)
            values.append(x.view(*x.shape[:-1], self.spec.heads.query, -1))
            scales.append(scale)
        memo.put("scales", scales)
        memo.put(_NOW, None)
        q, k, v = values
        return q, k, v

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        if not self.spec.arithmetic.whole:
            return super()._attend(node, flow, q, k, v, query, key)
        without_own(flow.pass_.backend, "attention in integers")
        pass_, root = flow.pass_, self.spec.heads.width**0.5
        of_q, of_k, of_v = pass_.memo.get("scales")
        scores = q @ k.transpose(-1, -2) / root  # [B, H, T, S]
        seen = materialise(pass_.visibility.mask(self.spec.mask), q.shape[0], query, key)
        if seen is not None:
            scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        if pass_.visibility.bias is not None:
            scores = scores + pass_.visibility.bias
        weights, scale = leaf(node, "softmax")(scores, of_q * of_k / root)
        if "attentions" in pass_.trace:
            flow.weights = weights
            pass_.keep("attentions", weights)
        if has(node, self.dropout):
            weights = leaf(node, self.dropout)(weights)
        pass_.memo.put(_NOW, None if scale is None else scale * of_v)
        mixed: Tensor = weights @ v
        return mixed


def _ending(part: spec.Part, width: int, a: spec.Arithmetic) -> list[Step]:
    """Drop, add, normalise, round."""
    role, norm = part.role, part.after
    assert norm is not None
    counted = a.of("layernorm")
    normed = (_Count if counted else _Exact)(f"{role}_norm", partial(integer_norm, width, norm.eps, counted))
    added = _Round(f"{role}_sum", 22, a.whole, adds=True)
    return [Drop(f"{role}_dropout", part.dropout), added, normed, _Round(f"{role}_act", 8, a.whole)]


def _linear(role: str, width_in: int, width_out: int, whole: bool) -> Step:
    make = partial(integer_linear, width_in, width_out, whole)
    return _Count(role, make) if whole else Project(role, make)


def integer_part(part: spec.Part, width: int) -> list[Step]:
    """All steps of a part, its sum and its norm included."""
    s: Any = part.mixer
    a: spec.Arithmetic = s.arithmetic
    if isinstance(s, spec.IntegerAttention):
        inner = s.heads.query * s.heads.width
        mixed = [AttendIntegers(s, width), _Round("context_act", 8, a.whole)]
        return [_Enter(first=True), *mixed, _linear("o", inner, width, a.whole), *_ending(part, width, a)]
    make: Any = IntegerGelu if a.of("gelu") else lambda: Activation(s.activation)
    return [
        _Round("read_act", 8, a.whole),
        _Enter(first=False),
        _linear("up", width, s.inner, a.whole),
        _Count("act", make) if a.of("gelu") else _Exact("act", make),
        _Round("inner_act", 8, a.whole),
        _Round("between_act", 8, a.whole),
        _linear("down", s.inner, width, a.whole),
        *_ending(part, width, a),
        _Leave(),
    ]
