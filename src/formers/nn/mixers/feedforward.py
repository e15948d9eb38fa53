"""The position-wise feed-forward. Roles: `up`, `gate` (when gated), `down`, `act`, `inner_dropout`."""

from __future__ import annotations

from typing import Any

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.leaves import linear
from formers.nn.program import Flow, Step
from formers.nn.steps import Drop, Project, apply


class Expand(Step):
    """Up, and the activation (times gate)."""

    begins = True

    def __init__(self, s: spec.FeedForward, width: int) -> None:
        super().__init__()
        self.spec = s
        for role in ("gate", "up") if s.gated else ("up",):
            self.leaves[role] = lambda: linear(s.linear, width, s.inner, s.bias)
        self.leaves["act"] = lambda: Activation(s.activation)
        self.optional = frozenset({"act"})

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., F]."""
        x, watched, act = flow.x, flow.pass_.watched, self.spec.activation
        if self.spec.gated:
            # the activation is on the gate: Shazeer 2020, arXiv:2002.05202
            flow.x = apply(node, "gate", x, watched, "act", act) * apply(node, "up", x, watched)
        else:
            flow.x = apply(node, "up", x, watched, "act", act)


def feedforward_steps(s: spec.FeedForward, width: int) -> list[Step]:
    """Expand, drop, project back."""
    down = Project("down", lambda: linear(s.linear, s.inner, width, s.bias))
    return [Expand(s, width), Drop("inner_dropout", s.dropout), down]
