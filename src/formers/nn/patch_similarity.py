"""Patches compared with what is asked for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from formers.nn.activations import Activation
from formers.nn.tree import Block, leaf, place

_NEAR = 1e-6  # keeps vectors of length zero from becoming NaN


class Queried(Block):
    """Cosines of patches and queries, shifted and scaled for each patch (arXiv:2205.06230, section 3.1).

    Args:
        width: E, of the patches.
        shared: P, of the queries.
        names: paths of the roles `space`, `shift`, `scale` and `act`.
    """

    def __init__(self, width: int, shared: int, names: Mapping[str, str]) -> None:
        super().__init__()
        made = {"space": shared, "shift": 1, "scale": 1}
        for role, path in names.items():
            place(self, role, path, nn.Linear(width, made[role]) if role in made else Activation("elu"))

    def forward(
        self, patches: Tensor, queries: Tensor | None = None, asked: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """Compare.

        Args:
            patches: [B, N, E].
            queries: [B, Q, P].
            asked: [B, Q], bool: which queries ask for something.

        Returns:
            Logits [B, N, Q], and the patches' vectors [B, N, P], of length one; without queries None, and
            the vectors as they are.
        """
        vectors: Tensor = leaf(self, "space")(patches)
        if queries is None:
            return None, vectors
        vectors, queries = (one / (one.norm(dim=-1, keepdim=True) + _NEAR) for one in (vectors, queries))
        scale = leaf(self, "act")(leaf(self, "scale")(patches)) + 1
        logits = (vectors @ queries.transpose(1, 2) + leaf(self, "shift")(patches)) * scale
        if asked is not None:
            least = torch.finfo(logits.dtype).min
            logits = logits.masked_fill(~asked[:, None], least).float()
        return logits, vectors
