"""Attention through landmarks, beside a convolution. Roles: those of attention, and `value_conv`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.interface import without_own
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf

_ROUNDS = 6  # of the iteration, as the paper has it


class AttendLandmarks(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.LandmarkAttention

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        count, reach = self.spec.heads.query, self.spec.kernel
        self.leaves["value_conv"] = lambda: row_conv(count, reach)

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        if self.spec.count == self.spec.length:
            mixed = super()._attend(node, flow, q, k, v, query, key)
        else:
            mixed = self._through_landmarks(flow, q, k, v, key)
        convolved: Tensor = leaf(node, "value_conv")(v)
        return mixed + convolved

    def _through_landmarks(self, flow: Flow, q: Tensor, k: Tensor, v: Tensor, key: Tensor) -> Tensor:
        """[B, H, T, D] each -> the same shape."""
        s, pass_ = self.spec, flow.pass_
        if q.shape[2] != s.length:
            raise ValueError(
                f"this model takes means of segments, which make {s.length} tokens, not {q.shape[2]}; "
                f"tokenize with padding='max_length', truncation=True, max_length={s.length}"
            )
        shape = (*q.shape[:2], s.count, -1, q.shape[3])
        few_q, few_k = (t.reshape(shape).mean(3) for t in (q, k))  # [B, H, L, D]
        scale = q.shape[-1] ** -0.5
        down, middle = ((t @ few_k.transpose(-1, -2) * scale).softmax(-1) for t in (q, few_q))
        weights = down @ _inverse(middle, s.exact)  # [B, H, T, L]
        scores = Scores(pass_.visibility.mask(s.mask), pass_.range(0, s.count), key)
        mixed, _ = without_own(pass_.backend, "attention by landmarks")(few_q, k, v, scores)
        if "attentions" in pass_.trace:
            flow.weights = weights
            pass_.keep("attentions", weights)
        out: Tensor = weights @ mixed
        return out


def row_conv(heads: int, reach: int) -> nn.Conv2d:
    """A convolution along the row, with one kernel a head: [B, H, T, D] -> [B, H, T, D]."""
    return nn.Conv2d(heads, heads, (reach, 1), padding=(reach // 2, 0), bias=False, groups=heads)


def _inverse(a: Tensor, exact: bool) -> Tensor:
    """The pseudoinverse of row-stochastic matrices [B, H, L, L], nearly (section 3, equation 13)."""
    largest = a.sum(-2)
    first = largest.amax(-1)[..., None, None] if exact else largest.amax()
    z: Tensor = a.transpose(-1, -2) / first
    one = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    for _ in range(_ROUNDS):
        az: Tensor = a @ z
        inner: Tensor = 13 * one - az @ (15 * one - az @ (7 * one - az))
        z = 0.25 * z @ inner
    return z


def landmarks_steps(s: spec.LandmarkAttention, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendLandmarks(s, width), out]
