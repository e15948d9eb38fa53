"""Learned vectors that ask an image's states, which were brought to their width (arXiv:2306.14824)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.dropout import drop
from formers.nn.fresh import Normal, begins
from formers.nn.leaves import linear
from formers.nn.steps import apply
from formers.nn.tree import Group, leaf, place, place_tensor, wiring


@dataclass(frozen=True)
class LatentQueries:
    """Few vectors that ask many states.

    Attributes:
        count: how many ask.
        source: width of the states.
        width: of the vectors, and of what they find.
        heads: of their attention.
        dropout: on its weights.
        std: deviation of fresh weights.
    """

    count: int
    source: int
    width: int
    heads: int
    dropout: float = 0.0
    std: float = 0.02


class LatentAttention(Group):
    """Attention of vectors to others. Called with both."""

    def __init__(self, s: LatentQueries) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        for role, name in zip("kvqo", ("k_proj", "v_proj", "q_proj", "out_proj"), strict=True):
            place(self, role, name, begins(linear("linear", s.width, s.width), weight=Normal(s.std)))

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor, weighed: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """[B, Q, E] and [B, S, E] -> [B, Q, E], and the weights [B, H, Q, S] where they are wanted."""
        s: LatentQueries = wiring(self).facts["spec"]
        reads = {"q": hidden_states, "k": encoder_hidden_states, "v": encoder_hidden_states}
        q, k, v = (
            apply(self, role, x, watched=True).view(*x.shape[:2], s.heads, -1).transpose(1, 2)
            for role, x in reads.items()
        )
        rate, weights = (s.dropout if self.training else 0.0), None
        if weighed:
            weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
            mixed = drop(weights, rate) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return apply(self, "o", mixed.transpose(1, 2).flatten(2), watched=True), weights


class LatentProjection(Group):
    """A linear layer, and learned vectors that ask what it made and themselves. Called with states."""

    def __init__(self, s: LatentQueries) -> None:
        super().__init__()
        place_tensor(self, "queries", "latent_query", torch.empty(s.count, s.width), Normal(1.0))
        place(self, "dense", "dense", begins(linear("linear", s.source, s.width), weight=Normal(s.std)))
        place(self, "attention", "x_attn", LatentAttention(s))

    def forward(self, features: Tensor, weighed: bool = False) -> tuple[Tensor, Tensor | None]:
        """[B, P, F] -> [B, Q, E], and weights [B, H, Q, P + Q]; see `LatentAttention`."""
        made = apply(self, "dense", features, watched=True)
        asks = leaf(self, "queries").expand(len(made), -1, -1)
        found: tuple[Tensor, Tensor | None] = leaf(self, "attention")(
            hidden_states=asks, encoder_hidden_states=torch.cat((made, asks), dim=1), weighed=weighed
        )
        return found
