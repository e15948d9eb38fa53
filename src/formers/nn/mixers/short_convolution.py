"""A short convolution between two gates. Roles: see `spec.ShortConvolution`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Flow, Step
from formers.nn.recurrence import by_sequence, convolve, depthwise, hidden_rows, slot_of
from formers.nn.steps import dense
from formers.nn.tree import leaf


class Convolve(Step):
    """In, gate, convolve, gate."""

    begins = True

    def __init__(self, s: spec.ShortConvolution, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves = {
            "conv": lambda: depthwise(width, s.kernel, s.bias),
            "in": lambda: linear("linear", width, 3 * width, s.bias),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., E]."""
        made = project(leaf(node, "in"), flow.x, None, flow.watched)
        opened, closed, x = made.chunk(3, dim=-1)  # [.., E] each
        x = opened * x
        hidden = hidden_rows(flow, x)
        if hidden is not None:
            x = x * hidden
        flow.x = closed * by_sequence(flow, partial(self._read, node, flow), x)

    def _read(self, node: Any, flow: Flow, x: Tensor) -> Tensor:
        """Sequences of one length, [b, t, E] -> [b, t, E]."""
        slot = slot_of(flow)
        window = None if slot is None else slot.window
        mixed, window = convolve(leaf(node, "conv"), x, self.spec.kernel - 1, window, flow.watched)
        if slot is not None:  # the window is all that it remembers
            slot.remember(window, x.new_zeros(x.shape[0], 0), x.shape[1])
        return mixed


def short_convolution_steps(s: spec.ShortConvolution, width: int) -> list[Step]:
    """Convolve, project back."""
    return [Convolve(s, width), dense("out", width, width, s.bias)]
