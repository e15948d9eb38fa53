"""Attention beside a convolution whose kernels follow from spans. Roles: see `spec.SpanConvolution`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.fresh import Constant, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class SeparableConv(nn.Module):
    """A convolution of every feature along the row, and then of the features of every place."""

    row_wise = True  # whoever holds it computes padding

    def __init__(self, width: int, out: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, padding=kernel // 2, bias=False)
        self.pointwise = nn.Conv1d(width, out, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, E, T] -> [B, out, T]."""
        found: Tensor = self.pointwise(self.depthwise(x)) + self.bias
        return found


class AttendSpan(Attend):
    """What the heads read and mix, and what the convolution does, before the output projection."""

    spec: spec.SpanConvolution

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        heads, reach = self.spec.heads, self.spec.kernel
        both = heads.query * heads.width
        self.leaves |= {
            "span_key": lambda: begins(SeparableConv(width, both, reach), bias=Constant(0.0)),
            "span_kernel": lambda: linear("linear", both, heads.query * reach),
            "span_value": lambda: linear("linear", width, both),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., 2 * H * D]: the heads that attend, and those that convolve."""
        x, layout, watched = flow.x, flow.pass_.layout, flow.watched
        heads, reach = self.spec.heads, self.spec.kernel
        q, k, v = self._project(node, flow)
        mixed = self._by_span(node, flow, q, k, v)  # [.., H, D]
        whole = x.view(layout.batch, layout.length, -1)
        key = leaf(node, "span_key")(whole.transpose(1, 2)).transpose(1, 2).reshape(*x.shape[:-1], -1)
        chosen = project(leaf(node, "span_kernel"), key * q.flatten(-2), None, watched)
        weights = chosen.view(*whole.shape[:2], heads.query, reach).softmax(-1)  # [B, T, H, k]
        value = project(leaf(node, "span_value"), x, None, watched)
        convolved = _convolve(value.view(*whole.shape[:2], heads.query, heads.width), weights)
        flow.x = torch.cat((mixed, convolved.view(mixed.shape)), dim=-2).flatten(-2)


def _convolve(value: Tensor, weights: Tensor) -> Tensor:
    """Values [B, T, H, D], each place with its weights [B, T, H, k] of the places around it."""
    reach, length = weights.shape[-1], value.shape[1]
    around = nn.functional.pad(value, (0, 0, 0, 0, reach // 2, reach // 2))
    out = around[:, :length] * weights[..., :1]
    for i in range(1, reach):
        out = torch.addcmul(out, around[:, i : i + length], weights[..., i : i + 1])
    return out


def span_steps(s: spec.SpanConvolution, width: int) -> list[Step]:
    """Attend and convolve, project back."""
    both = 2 * s.heads.query * s.heads.width
    return [AttendSpan(s, width), Project("o", lambda: linear(s.linear, both, width, s.out_bias))]
