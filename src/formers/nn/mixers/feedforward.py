"""The position-wise feed-forward. Roles: `up`, `gate` (or `gate_up`), `down`, `act`, `inner_dropout`."""

from __future__ import annotations

from typing import Any

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
            gate, up = apply(node, "gate_up", x, watched).chunk(2, dim=-1)
            flow.x = activate(node, "act", gate, act) * up
        elif self.spec.gated:
            # the activation is on the gate: Shazeer 2020, arXiv:2002.05202
            gate, up = apply(node, "gate", x, watched, "act", act), apply(node, "up", x, watched)
            own = flow.unseen and gate is not x and gate.dtype == up.dtype
            flow.x = gate.mul_(up) if own else gate * up
        else:
            flow.x = apply(node, "up", x, watched, "act", act)


def feedforward_steps(s: spec.FeedForward, width: int) -> list[Step]:
    """Expand, drop, project back."""
    down = Project("down", lambda: linear(s.linear, s.inner, width, s.bias))
    return [Expand(s, width), Drop("inner_dropout", s.dropout), down]
