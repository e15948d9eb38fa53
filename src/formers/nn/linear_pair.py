"""Two linear leaves with an activation between them, in a node of their own."""

from __future__ import annotations

from torch import Tensor

from formers.nn.activations import Activation
from formers.nn.leaves import linear
from formers.nn.tree import Group, leaf, place


class Bridge(Group):
    """From one width to another.

    Args:
        read: width of what is read.
        made: of what is made, and of what lies between.
        act: activation between.
        paths: of the first leaf, the activation and the second leaf.
    """

    def __init__(
        self,
        read: int,
        made: int,
        act: str,
        paths: tuple[str, str, str] = ("linear1", "activation", "linear2"),
    ) -> None:
        super().__init__()
        place(self, "first", paths[0], linear("linear", read, made))
        place(self, "act", paths[1], Activation(act))
        place(self, "second", paths[2], linear("linear", made, made))

    def forward(self, x: Tensor) -> Tensor:
        """[.., read] -> [.., made]."""
        found: Tensor = leaf(self, "second")(leaf(self, "act")(leaf(self, "first")(x)))
        return found
