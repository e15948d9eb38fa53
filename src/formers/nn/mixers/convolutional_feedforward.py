"""A feed-forward of two convolutions. Roles: see `spec.ConvolvedFeedForward`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.leaves import fan_in_conv
from formers.nn.program import Flow, Step
from formers.nn.recurrence import by_sequence, hidden_rows
from formers.nn.steps import activate
from formers.nn.tree import has, leaf


class ConvolveTwice(Step):
    """Expand, activate, drop, narrow: along every sequence, beyond whose ends there are zeros."""

    begins = True

    def __init__(self, s: spec.ConvolvedFeedForward, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves = {
            "up": lambda: fan_in_conv(width, s.inner, s.kernel),
            "act": lambda: Activation(s.activation),
            "inner_dropout": lambda: Dropout(s.dropout),
            "down": lambda: fan_in_conv(s.inner, width, s.kernel),
        }
        self.optional = frozenset() if s.dropout else frozenset({"inner_dropout"})

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E], zeros at padding."""
        real = hidden_rows(flow, flow.x)
        flow.x = by_sequence(flow, partial(self._read, node, flow.watched), flow.x, real)

    def _read(self, node: Any, watched: bool, x: Tensor, real: Tensor | None) -> Tensor:
        """[b, t, E], and which rows are real [b, t, 1] -> [b, t, E]."""
        x, sides = x.transpose(1, 2), ((self.spec.kernel - 1) // 2, self.spec.kernel // 2)
        shown = None if real is None else real.transpose(1, 2)

        def cut(rows: Tensor) -> Tensor:
            return rows if shown is None else rows * shown

        x, s = leaf(node, "up")(F.pad(cut(x), sides)), self.spec
        x = activate(node, "act", x.transpose(1, 2) if s.by_row else x, s.activation)
        x = x.transpose(1, 2) if s.by_row else x
        drops = leaf(node, "inner_dropout") if has(node, "inner_dropout") else None
        if drops is not None and (
            watched or not isinstance(drops, nn.Dropout) or (drops.training and drops.p)
        ):
            x = drops(x)
        return cut(leaf(node, "down")(F.pad(cut(x), sides))).transpose(1, 2)


def convolved_steps(s: spec.ConvolvedFeedForward, width: int) -> list[Step]:
    """One step: all of it sees features before time."""
    return [ConvolveTwice(s, width)]
