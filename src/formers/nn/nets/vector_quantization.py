"""Places of a map as numbers of the vectors nearest to them (van den Oord et al. 2017, arXiv:1711.00937)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.nn.tree import Group, leaf, place

_WEIGHT = 0.25  # of the vectors' way to what was read, in the loss, beside that of what was read to them


class NearestVectors(Group):
    """So many vectors, by which those of a map are told. Called with a map.

    Args:
        count: how many.
        width: of each.
        path: of their table.
    """

    def __init__(self, count: int, width: int, path: str) -> None:
        super().__init__()
        place(self, "table", path, nn.Embedding(count, width))

    def forward(self, hidden_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, width, H, W] -> the nearest vectors likewise, how far they are, and their numbers [B * H * W].

        Gradients of the nearest vectors go to the map as it is.
        """
        rows = hidden_state.permute(0, 2, 3, 1)  # [B, H, W, width]
        flat, table = rows.flatten(0, 2), leaf(self, "table").weight
        apart = flat.square().sum(1, keepdim=True) + table.square().sum(1) - 2 * flat @ table.t()
        codes = apart.argmin(1)
        near = leaf(self, "table")(codes).view(rows.shape)
        far = (near.detach() - rows).square().mean() + _WEIGHT * (near - rows.detach()).square().mean()
        passed = rows + (near - rows).detach()
        return passed.permute(0, 3, 1, 2).contiguous(), far, codes


def words_of_codes(vocabulary: dict[str, int]) -> Tensor:
    """The token of every code, [codes], int64, by the vocabulary's names: `IMGIMGBADZ` is that of 103.

    Raises:
        ValueError: for a vocabulary without such names.
    """
    digits = {chr(ord("A") + digit): str(digit) for digit in range(10)}
    found = {
        int("".join(digits.get(letter, letter) for letter in name[len("IMGIMG") : -1])): token
        for name, token in vocabulary.items()
        if name.startswith("IMGIMG")
    }
    if not found:
        raise ValueError(
            "vocabulary_map names no tokens of pictures (IMGIMG..): pass the tokenizer's vocabulary in the "
            "config"
        )
    words = torch.zeros(max(found) + 1, dtype=torch.long)
    words[list(found)] = torch.tensor(list(found.values()))
    return words


def picture_words(vocabulary: dict[str, int] | None) -> tuple[int, ...]:
    """The tokens that stand for codes of pictures, in order; none without a vocabulary."""
    return tuple(sorted(token for name, token in (vocabulary or {}).items() if name.startswith("IMGIMG")))
