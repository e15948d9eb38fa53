"""The stem of codes: the vectors of several books, summed at every place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.tokens import TokenStem, look_up
from formers.nn.tree import Block, place


class CodeStem(TokenStem):
    """See `spec.Codes`."""

    inputs: ClassVar = {
        "input_ids": "[B, T, n], int64, codes of the first n books.",
        "position_ids": "[B, T], int64.",
        "inputs_embeds": "[B, T, E], in place of `input_ids`.",
    }
    by_row = tuple(inputs)

    def _place_tokens(self, owner: Block, names: Paths, width: int) -> None:
        roles = [f"token_{i}" for i in range(self.spec.books)]
        want(names, *roles)
        for role in roles:
            place(owner, role, str(names[role]), nn.Embedding(self.spec.vocabulary, width))

    def shape(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """B and T of the codes or vectors.

        Raises:
            ValueError: for codes of no book.
        """
        found, ids = super().shape(given), given.get("input_ids")
        books = self.spec.books
        if isinstance(ids, Tensor) and (ids.dim() != 3 or not 1 <= ids.shape[2] <= books):
            raise ValueError(
                f"the model reads codes of at most {books} books at every place, [B, T, {books}], not "
                f"{list(ids.shape)}"
            )
        return found

    def _vectors(self, node: Any, ids: Tensor | None) -> Tensor:
        assert ids is not None
        parts = [look_up(node, f"token_{i}", one, "input_ids") for i, one in enumerate(ids.unbind(-1))]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
