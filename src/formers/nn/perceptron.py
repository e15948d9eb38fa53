"""Linear layers with an activation between them."""

from __future__ import annotations

from torch import Tensor, nn

from formers.nn.kernels import project
from formers.nn.tree import Block


class Perceptron(Block):
    """Layers of the given widths; between them stands relu.

    Args:
        widths: what the first layer reads, and what each makes.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(nn.Linear(read, made) for read, made in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """[.., first width] -> [.., last width]."""
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            x = project(layer, x, "relu" if i < last else None)
        return x
