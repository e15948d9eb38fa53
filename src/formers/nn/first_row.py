"""A vector by the first row of a sequence, as a node of the tree."""

from __future__ import annotations

from torch import Tensor

from formers.nn.activations import Activation
from formers.nn.leaves import linear
from formers.nn.tree import Group


class FirstRow(Group):
    """A layer over the first row, and tanh: [B, T, E] -> [B, E]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.activation = linear("linear", width, width), Activation("tanh")

    def forward(self, rows: Tensor) -> Tensor:
        """The vector."""
        found: Tensor = self.activation(self.dense(rows[:, 0]))
        return found
