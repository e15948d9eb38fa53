"""The position-wise feed-forward. Roles: `up`, `gate` (or `gate_up`), `down`, `act`, `inner_dropout`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.leaves import linear
from formers.nn.program import Flow, Step
from formers.nn.steps import Drop, Project, activate, apply


class Expand(Step):
    """Up, and the activation (times gate)."""

    begins = True

    def __init__(self, s: spec.FeedForward, width: int) -> None:
        super().__init__()
        self.spec = s
        inner = 2 * s.inner if s.fused else s.inner
        for role in ("gate_up",) if s.fused else ("gate", "up") if s.gated else ("up",):
            self.leaves[role] = lambda: linear(s.linear, width, inner, s.bias)
        self.leaves["act"] = lambda: Activation(s.activation)
        self.optional = frozenset({"act"})

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., F]."""
        x, watched, act = flow.x, flow.pass_.watched, self.spec.activation
        if self.spec.fused:
            gate, up = halves(self.spec, apply(node, "gate_up", x, watched))
            if self.spec.clamp is not None:
                flow.x = clamped(gate, up, *self.spec.clamp)
            else:
                flow.x = activate(node, "act", gate, act) * up
        elif self.spec.gated:
            # the activation is on the gate: Shazeer 2020, arXiv:2002.05202
            flow.x = apply(node, "gate", x, watched, "act", act) * apply(node, "up", x, watched)
        else:
            flow.x = apply(node, "up", x, watched, "act", act)


def halves(s: spec.FeedForward, both: Tensor) -> tuple[Tensor, ...]:
    """[.., 2 F] -> gate and up, [.., F] each."""
    return (both[..., ::2], both[..., 1::2]) if s.alternating else both.chunk(2, dim=-1)


def clamped(gate: Tensor, up: Tensor, limit: float, sharpness: float) -> Tensor:
    """See `spec.FeedForward.clamp`."""
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * (gate * torch.sigmoid(gate * sharpness))


def feedforward_steps(s: spec.FeedForward, width: int) -> list[Step]:
    """Expand, drop, project back."""
    down = Project("down", lambda: linear(s.linear, s.inner, width, s.bias))
    return [Expand(s, width), Drop("inner_dropout", s.dropout), down]
