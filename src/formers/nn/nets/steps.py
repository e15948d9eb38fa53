"""Steps of heads over maps."""

from __future__ import annotations

from typing import Any

from formers.nn.nets.leaves import leaf_of
from formers.nn.program import Flow, Step
from formers.nn.spec import nets
from formers.nn.tree import leaf


class Averaged(Step):
    """A norm of a map, and its mean over all places."""

    def __init__(self, role: str, s: nets.GroupNorm) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: leaf_of(s)}

    def run(self, node: Any, flow: Flow) -> None:
        """[B, C, H, W] -> [B, C]."""
        flow.x = leaf(node, self.role)(flow.x).mean((-2, -1))
