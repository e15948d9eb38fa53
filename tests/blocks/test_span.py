"""Attention beside a convolution of spans, against its definition in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.mixers.span import span_steps
from formers.nn.program import alone, build, compute
from formers.nn.tree import Block

HEADS, EACH, WIDTH = 3, 2, 12
ROLES = ("q", "k", "v", "o", "span_key", "span_kernel", "span_value")


def slowly(w: dict[str, Tensor], x: Tensor, real: Tensor, reach: int) -> Tensor:
    """One row [T, E] place by place; attention sees the real tokens, the convolution all."""

    def made(role: str, row: Tensor) -> Tensor:
        return w[f"{role}.weight"] @ row + w[f"{role}.bias"]

    def at(i: int) -> Tensor:
        return x[i] if 0 <= i < len(x) else torch.zeros(WIDTH, dtype=x.dtype)

    rows = []
    for t, token in enumerate(x):
        q = made("q", token)
        span = sum(at(t + j - reach // 2) * w["span_key.depthwise.weight"][:, 0, j] for j in range(reach))
        key = w["span_key.pointwise.weight"][..., 0] @ span + w["span_key.bias"][:, 0]
        kernel = made("span_kernel", key * q).view(HEADS, reach).softmax(-1)
        heads = []
        for h in range(HEADS):
            part = slice(h * EACH, h * EACH + EACH)
            scores = torch.stack([made("k", other)[part] @ q[part] / math.sqrt(EACH) for other in x])
            weights = scores.masked_fill(~real, float("-inf")).softmax(0)
            heads.append(
                sum(weight * made("v", other)[part] for weight, other in zip(weights, x, strict=True))
            )
        for h in range(HEADS):
            part, places = slice(h * EACH, h * EACH + EACH), range(t - reach // 2, t + reach // 2 + 1)
            inside = [(j, i) for j, i in enumerate(places) if 0 <= i < len(x)]
            heads.append(sum(kernel[h, j] * made("span_value", x[i])[part] for j, i in inside))
        rows.append(made("o", torch.cat(heads)))
    return torch.stack(rows)


@pytest.mark.parametrize("reach", [1, 3, 7])
@pytest.mark.parametrize("sided", ["left", "right"])
def test_heads_attend_and_convolve_as_defined(reach: int, sided: str) -> None:
    torch.manual_seed(0)
    owner = Block()
    s = spec.SpanConvolution(spec.Heads(HEADS, HEADS, EACH), kernel=reach)
    build(owner, span_steps(s, WIDTH), {role: f"attn.{role}" for role in ROLES})
    made: Any = owner.attn
    made.double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    x = torch.randn(2, 6, WIDTH, dtype=torch.float64)
    mask = torch.ones(2, 6)
    mask[1, slice(4, None) if sided == "right" else slice(0, 2)] = 0
    flow = alone(x, mask)
    compute(made, flow)
    for row in range(2):
        expected = slowly(dict(made.state_dict()), x[row], mask[row].bool(), reach)
        torch.testing.assert_close(flow.x[row], expected)


def test_a_kernel_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="4 is not odd"):
        spec.SpanConvolution(spec.Heads(1, 1, 4), kernel=4)
