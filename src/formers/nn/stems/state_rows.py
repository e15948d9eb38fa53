"""The stem of rows that other models made, behind a learned one. See `spec.StateRows`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from formers.nn.fresh import Constant
from formers.nn.passing import Pass
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.speech import HeardRowStem
from formers.nn.tree import Block, leaf, place_tensor


class StateRowStem(HeardRowStem):
    """See `spec.StateRows`."""

    inputs: ClassVar[Mapping[str, str]] = {
        "hidden_states": "[B, T, E], floating: rows that other models made.",
        "attention_mask": "[B, 1 + T], 1 at rows that count, the learned one among them.",
    }

    def place(self, owner: Block, names: Paths) -> None:
        """Register the learned row."""
        if self.spec.led:
            want(names, "lead")
            place_tensor(
                owner, "lead", str(names["lead"]), torch.zeros(1, 1, self.spec.width), Constant(0.0), False
            )

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many rows there are with the learned one."""
        batch, length = super().shape(given)
        return batch, length + int(self.spec.led)

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, E] -> [B, 1 + T, E]; [N, E] where nobody looks."""
        x: Tensor = given["hidden_states"]
        if self.spec.led:
            x = torch.cat((leaf(node, "lead").to(x.dtype).expand(x.shape[0], -1, -1), x), dim=1)
        return x if pass_.watched else pass_.layout.pack(x)
