"""Attention by the chance that hashes collide. Roles: those of attention, and `value_conv`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.interface import without_own
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.mixers.landmark_attention import row_conv
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class AttendHashed(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.HashedAttention

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        count, reach = self.spec.heads.query, self.spec.kernel
        if reach is not None:
            self.leaves["value_conv"] = lambda: row_conv(count, reach)

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        without_own(flow.pass_.backend, "attention by hashes")
        bits = self.spec.bits
        q, k = (nn.functional.normalize(t, dim=-1) for t in (q, k))
        cosine = q @ k.transpose(-1, -2)  # [B, H, T, S]
        weights = _chance(cosine.detach(), bits)
        if "attentions" in flow.pass_.trace:
            flow.weights = weights
            flow.pass_.keep("attentions", weights)
        if torch.is_grad_enabled() and cosine.requires_grad:
            # the derivative has a pole where the angle is zero; a bound from below stands for it
            slope = bits / 2 * cosine
            weights = weights + weights * (slope - slope.detach())
        mixed = nn.functional.normalize(weights @ v, dim=-1)
        if self.spec.kernel is None:
            return mixed
        real = flow.pass_.visibility.real
        convolved: Tensor = leaf(node, "value_conv")(v if real is None else v * real[:, None, :, None])
        return mixed + convolved


def _chance(cosine: Tensor, bits: int) -> Tensor:
    """That all bits of two hashes agree, by the cosine of the angle between what is hashed."""
    angle = torch.acos(cosine.clamp(-1, 1))
    return angle.mul_(-1 / math.pi).add_(1).pow_(bits)


def hashed_steps(s: spec.HashedAttention, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendHashed(s, width), out]
