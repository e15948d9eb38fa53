"""Linear layers with an activation between them. See `spec.grid_layers.Feed`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from formers.nn.activations import Activation
from formers.nn.leaves import linear
from formers.nn.spec.grid_layers import Feed
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, place, wiring


class Chain(Group):
    """Layers of so many channels: `widths` of what is read, of what stands between, and of what is made."""

    def __init__(self, s: Feed, widths: Sequence[int]) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "act", s.act_name, Activation(s.act))
        for i, (name, read, made) in enumerate(zip(s.names, widths[:-1], widths[1:], strict=True)):
            place(self, str(i), name, linear("linear", read, made))

    def forward(self, hidden_states: Tensor, watched: bool = True) -> Tensor:
        """[.., in] -> [.., out]."""
        s: Feed = wiring(self).facts["spec"]
        x, last = hidden_states, len(s.names) - 1
        for i in range(last):
            x = apply_rows(self, str(i), x, watched, "act")
        x = apply_rows(self, str(last), x, watched)
        return x.sigmoid() if s.squash else x
