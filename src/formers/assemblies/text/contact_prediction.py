"""One stack whose attention says which tokens touch each other, as amino acids of a folded protein do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.assemblies.base import owner_of
from formers.assemblies.single import Single
from formers.model.base import PreTrainedModel
from formers.nn.tree import leaf, place

_LAST = 2  # the token that ends a chain, in the vocabulary that contacts were learned over


class ContactPrediction(Single):
    """See `predict_contacts`. Role: `contacts`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offers = {"predict_contacts": predict_contacts}

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """The stack, and a regression on the weights of all its heads."""
        super().place(model, config, pooler, masked)
        weights = config.num_hidden_layers * config.num_attention_heads
        place(model, "contacts", "contact_head.regression", nn.Linear(weights, 1))


def predict_contacts(self: Any, tokens: Tensor, attention_mask: Tensor) -> Tensor:
    """How probably two tokens touch each other (Rao et al. 2020, doi 10.1101/2020.12.15.422761).

    Args:
        self: a model of the family, with a head or without.
        tokens: ids [B, T], the first and the last place of which are not told of.
        attention_mask: [B, T], 1 at real tokens.

    Returns:
        [B, T - 2, T - 2].
    """
    model = owner_of(self)
    held = model(tokens, attention_mask=attention_mask, output_attentions=True, return_dict=True).attentions
    told = attention_mask.bool() & (tokens != _LAST)  # [B, T]
    weights = torch.stack(held, dim=1) * (told[:, :, None] & told[:, None])[:, None, None]  # [B, L, H, T, T]
    inner = weights[..., 1:-1, 1:-1].flatten(1, 2)  # [B, L * H, T - 2, T - 2]
    both = inner + inner.transpose(-1, -2)
    rows, columns, every = both.sum(-1, keepdim=True), both.sum(-2, keepdim=True), both.sum((-1, -2), True)
    regression = leaf(model, "contacts")
    features = (both - rows * columns / every).permute(0, 2, 3, 1).to(regression.weight.dtype)
    found: Tensor = regression(features).squeeze(3).sigmoid()
    return found
