"""The position-wise feed-forward.

Roles: `up`, `gate` (or `gate_up`), `down`, `act`, `inner_dropout`, `inner_norm`; `feedforward_scale`, the
node in which its result is scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from formers.nn import few_rows, spec
from formers.nn.activations import Activation, activation
from formers.nn.leaves import linear
from formers.nn.program import Flow, Step
from formers.nn.steps import Drop, Normalise, Project, Scale, activate, apply, swift_apply
from formers.nn.tree import has, leaf


class Expand(Step):
    """Up, and the activation (times gate)."""

    begins = True

    def __init__(self, s: spec.FeedForward, width: int) -> None:
        super().__init__()
        self.spec = s
        inner = 2 * s.inner if s.fused else s.inner
        for role in ("gate_up",) if s.fused else ("gate", "up") if s.gated else ("up",):
            self.leaves[s.prefix + role] = lambda: linear(s.linear, width, inner, s.bias)
        self.act = s.prefix + "act"
        self.leaves[self.act] = lambda: Activation(s.activation)
        self.optional = frozenset({self.act})

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., F]."""
        s, x, watched, act = self.spec, flow.x, flow.pass_.watched, self.spec.activation
        if s.fused:
            gate, up = halves(s, apply(node, s.prefix + "gate_up", x, watched))
            if s.clamp is not None:
                flow.x = clamped(gate, up, *s.clamp)
            else:
                flow.x = activate(node, self.act, gate, act) * up
        elif s.scale_gate != 1.0:
            gate = activate(node, self.act, apply(node, s.prefix + "gate", x, watched) * s.scale_gate, act)
            flow.x = gate * apply(node, s.prefix + "up", x, watched)
        elif s.gated:
            # the activation is on the gate: Shazeer 2020, arXiv:2002.05202
            gate = apply(node, s.prefix + "gate", x, watched, self.act, act)
            up = apply(node, s.prefix + "up", x, watched)
            own = flow.unseen and gate is not x and gate.dtype == up.dtype
            flow.x = gate.mul_(up) if own else gate * up
        else:
            flow.x = apply(node, s.prefix + "up", x, watched, self.act, act)

    def swift(self, node: Any) -> Callable[[Flow], None] | None:
        """As `run`, for the plain one and the gated one."""
        s = self.spec
        if s.fused or s.scale_gate != 1.0:
            return None
        if not s.gated:
            up = swift_apply(node, s.prefix + "up", self.act, s.activation)

            def run(flow: Flow) -> None:
                flow.x = up(flow.x)

            return run
        found = leaf(node, self.act) if has(node, self.act) else None
        if found is not None and type(found) is not Activation:
            return None
        both = few_rows.beside([leaf(node, s.prefix + "gate"), leaf(node, s.prefix + "up")])
        if both is None:
            return None
        act = activation(s.activation if found is None else found.name, True)

        def gated(flow: Flow) -> None:
            gate, up = both(flow.x).chunk(2, dim=-1)
            flow.x = act(gate).mul_(up)

        return gated


def halves(s: spec.FeedForward, both: Tensor) -> tuple[Tensor, ...]:
    """[.., 2 F] -> gate and up, [.., F] each."""
    if s.alternating:
        return both[..., ::2], both[..., 1::2]
    first, second = both.chunk(2, dim=-1)
    return (second, first) if s.up_first else (first, second)


def clamped(gate: Tensor, up: Tensor, limit: float, sharpness: float) -> Tensor:
    """See `spec.FeedForward.clamp`."""
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * (gate * torch.sigmoid(gate * sharpness))


def feedforward_steps(s: spec.FeedForward, width: int) -> list[Step]:
    """Expand, drop, norm where there is such a norm, project back."""
    down = Project(s.prefix + "down", lambda: linear(s.down or s.linear, s.inner, width, s.bias))
    steps: list[Step] = [Expand(s, width), Drop(s.prefix + "inner_dropout", s.dropout)]
    steps += [] if s.norm is None else [Normalise(s.prefix + "inner_norm", s.norm, s.inner)]
    steps.append(down)
    return steps if s.scale == 1.0 else [*steps, Scale(s.scale, s.prefix + "feedforward_scale")]
