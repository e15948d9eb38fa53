"""The stem of images as patches that say where they stand. See `spec.FlatPatches`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.dropout import Dropout, drop
from formers.nn.kernels import project
from formers.nn.layout import Layout
from formers.nn.leaves import linear
from formers.nn.passing import Pass
from formers.nn.recording import recording
from formers.nn.spec import Paths
from formers.nn.stems.base import Stem, want
from formers.nn.tree import Block, leaf, place

_MAIN = "flattened_patches"


class FlatPatchStem(Stem):
    """See `spec.FlatPatches`."""

    inputs: ClassVar = {_MAIN: "[B, T, 2 + numbers of a patch], floating: its row, its column, its pixels."}
    by_row: ClassVar = (_MAIN,)

    def place(self, owner: Block, names: Paths) -> None:
        """Register the projection, both tables and the dropout."""
        s = self.spec
        want(names, "patch", "row", "column", "embedding_dropout")
        place(owner, "patch", str(names["patch"]), linear("linear", s.numbers, s.width))
        for role in ("row", "column"):
            place(owner, role, str(names[role]), nn.Embedding(s.count, s.width))
        place(owner, "embedding_dropout", str(names["embedding_dropout"]), Dropout(s.dropout))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B, and how many patches there is room for.

        Raises:
            TypeError: for what is no tensor.
            ValueError: for patches of another size, or further down or across than the tables reach.
        """
        patches, s = given.get(_MAIN), self.spec
        axes = f"[B, T, {s.numbers + 2}]"
        if not isinstance(patches, Tensor):
            raise TypeError(
                f"the model reads {_MAIN} as a tensor {axes}, not {type(patches).__name__}: an image "
                f"processor makes it from pictures"
            )
        if patches.dim() != 3 or patches.shape[2] != s.numbers + 2 or not patches.shape[1]:
            raise ValueError(f"{_MAIN} must have shape {axes} here, not {list(patches.shape)}")
        if not recording() and patches.numel():
            low, high = (one.item() for one in patches[..., :2].aminmax())
            if not 0 <= low <= high < s.count:
                raise ValueError(
                    f"patches stand in rows and columns from 1 to {s.count - 1} (0 where there is none), "
                    f"and {_MAIN} has {low:g} to {high:g} in its first two numbers"
                )
        return int(patches.shape[0]), int(patches.shape[1])

    def rows_mask(self, mask: Any, given: Mapping[str, Any] | None = None) -> Any:
        """As the caller says; else what sums to 0 is no patch."""
        if mask is not None or given is None:
            return mask
        return given[_MAIN].sum(-1) != 0

    def positions(
        self, given: Mapping[str, Any], layout: Layout, past: int, real: Tensor | None = None
    ) -> Tensor:
        """Columns: patches say themselves where they stand."""
        return torch.arange(layout.length, device=given[_MAIN].device)[None]

    def run(self, node: Any, given: Mapping[str, Any], pass_: Pass) -> Tensor:
        """[B, T, 2 + numbers], or rows of them -> [B, T, E] or [N, E]."""
        patches, projection = given[_MAIN], leaf(node, "patch")
        x: Tensor = project(projection, patches[..., 2:].to(projection.weight.dtype), None, pass_.watched)
        for at, role in enumerate(("row", "column")):
            x = x + leaf(node, role)(patches[..., at].long())
        if pass_.watched:
            found: Tensor = leaf(node, "embedding_dropout")(x)
            return found
        return drop(x, self.spec.dropout) if self.spec.dropout and node.training else x
