"""The stem of code points: parts of a vector, each from a table that is read at a hash of the code point."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.nn.recording import recording
from formers.nn.spec import Paths
from formers.nn.stems.base import want
from formers.nn.stems.tokens import TokenStem
from formers.nn.tree import Block, leaf, place

# of Google's CANINE: what is multiplied, one for each hash function
_PRIMES = (31, 43, 59, 61, 73, 97, 103, 113, 137, 149, 157, 173, 181, 193, 211, 223)


class CharacterStem(TokenStem):
    """See `spec.Characters`."""

    inputs: ClassVar = {
        "input_ids": "[B, T], int64, code points.",
        "token_type_ids": "[B, T], int64.",
        "position_ids": "[B, T], int64.",
        "inputs_embeds": "[B, T, E], in place of `input_ids`.",
    }
    by_row = tuple(inputs)

    def _place_tokens(self, owner: Block, names: Paths, width: int) -> None:
        s = self.spec
        want(names, *(f"token_{i}" for i in range(s.hashes)))
        for i in range(s.hashes):
            place(
                owner, f"token_{i}", str(names[f"token_{i}"]), nn.Embedding(s.vocabulary, width // s.hashes)
            )

    def _vectors(self, node: Any, ids: Tensor | None) -> Tensor:
        s = self.spec
        assert ids is not None
        if ids.device.type == "cpu" and not recording() and bool((ids < 0).any()):
            raise IndexError(f"input_ids hold {int(ids.min())}, which is no code point")
        above = ids.long() + 1
        parts = [leaf(node, f"token_{i}")(above * _PRIMES[i] % s.vocabulary) for i in range(s.hashes)]
        return torch.cat(parts, dim=-1)
