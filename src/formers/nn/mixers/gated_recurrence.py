"""The real-gated linear recurrent unit: a short convolution, then a recurrence of every feature by itself.

De et al. 2024, arXiv:2402.19427, section 2.4. Roles: see `spec.GatedRecurrence`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant, Fades, Normal
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Inner, Step, run_inner
from formers.nn.recurrence import (
    beginnings,
    by_sequence,
    convolve,
    depthwise,
    hidden_rows,
    recur_in_chunks,
    slot_of,
)
from formers.nn.steps import apply, dense
from formers.nn.tree import leaf

_SHARPNESS = 8.0  # the paper's c: how much the gate can hasten forgetting
_STEEPEST = 1000.0  # bound on the slope of the square root, which has none at zero


class _Root(torch.autograd.Function):
    """The square root; its slope is bounded, so that whatever keeps everything can be trained."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """[..] -> [..]."""
        ctx.save_for_backward(x)
        return torch.sqrt(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient of the input."""
        (x,) = ctx.saved_tensors
        slope: Tensor = 0.5 * x.clamp(min=0.25 / _STEEPEST**2).rsqrt()
        return grads[0] * slope


class Recur(Step):
    """Gate and remember."""

    begins = True

    def __init__(self, s: spec.GatedRecurrence) -> None:
        super().__init__()
        self.spec, blocks = s, (s.heads, s.width // s.heads)
        deviation = (s.gate_variance / blocks[1]) ** 0.5
        decay, weight, bias = torch.empty(s.width), torch.empty(*blocks, blocks[1]), torch.empty(blocks)
        self.leaves["decay"] = lambda: Bare(decay.clone(), Fades(0.9, 0.999))
        for role in ("input", "keep"):
            self.leaves[f"{role}_weight"] = lambda: Bare(weight.clone(), Normal(deviation))
            self.leaves[f"{role}_bias"] = lambda: Bare(bias.clone(), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[.., I] -> [.., I]."""
        x = flow.x.float()
        first, hidden = beginnings(flow, x), hidden_rows(flow, x)
        fades = (
            -_SHARPNESS * nn.functional.softplus(leaf(node, "decay").float()) * self._gate(node, "keep", x)
        )
        share: Tensor = _Root.apply(-torch.expm1(2.0 * fades))  # type: ignore[no-untyped-call]
        added = x * self._gate(node, "input", x) * share.masked_fill(first, 1.0)
        if hidden is not None:
            added = added * hidden
        fades = fades.masked_fill(first, float("-inf"))
        flow.x = by_sequence(flow, partial(self._read, flow), fades, added).to(flow.x.dtype)

    def _gate(self, node: Any, role: str, x: Tensor) -> Tensor:
        """[.., I] -> [.., I], every block of features by itself."""
        weight, bias = leaf(node, f"{role}_weight").float(), leaf(node, f"{role}_bias").float()
        blocks = x.reshape(-1, *bias.shape).transpose(0, 1)  # [H, N, I / H]
        return torch.baddbmm(bias[:, None], blocks, weight).sigmoid().transpose(0, 1).reshape(x.shape)

    def _read(self, flow: Flow, fades: Tensor, added: Tensor) -> Tensor:
        """Sequences of one length, [b, t, I] each -> [b, t, I]."""
        slot = slot_of(flow)
        state = None if slot is None else slot.state
        state = torch.zeros_like(added[:, 0]) if state is None else state
        held = recur_in_chunks(fades, added, state)
        if slot is not None:
            assert slot.window is not None  # the convolution before has read these tokens
            slot.remember(slot.window, held[:, -1].clone(), added.shape[1])
        return held


class GatedRecurrence(Step):
    """In, convolve, recur, gate."""

    begins = True

    def __init__(self, s: spec.GatedRecurrence, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves = {
            "scan_gate": lambda: linear("linear", width, s.width),
            "in": lambda: linear("linear", width, s.width),
            "conv": lambda: depthwise(s.width, s.kernel, bias=True),
            "scan_act": lambda: Activation(s.activation),
        }
        self.optional = frozenset({"scan_act"})
        self.inner["lru_"] = Inner(lambda: [Recur(s)])

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., I]."""
        gate = apply(node, "scan_gate", flow.x, flow.watched, "scan_act", self.spec.activation)
        x = project(leaf(node, "in"), flow.x, None, flow.watched)  # [.., I]
        hidden = hidden_rows(flow, x)
        if hidden is not None:
            x = x * hidden
        mixed = by_sequence(flow, partial(self._read, node, flow), x)
        flow.x = run_inner(node, "lru_", mixed, flow) * gate

    def _read(self, node: Any, flow: Flow, x: Tensor) -> Tensor:
        """Sequences of one length, [b, t, I] -> [b, t, I]."""
        slot = slot_of(flow)
        window = None if slot is None else slot.window
        conv, reach = leaf(node, "conv"), self.spec.kernel - 1
        mixed, window = convolve(conv, x, reach, window, flow.watched, bare=True)
        if slot is not None:
            slot.window = window
        return mixed


def gated_recurrence_steps(s: spec.GatedRecurrence, width: int) -> list[Step]:
    """Recur, project back."""
    return [GatedRecurrence(s, width), dense("out", s.width, width)]
