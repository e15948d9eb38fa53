"""The pixels of objects that queries found (Carion et al. 2020, arXiv:2005.12872, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import activation
from formers.nn.kernels import project
from formers.nn.tree import Block


class QueryMap(Block):
    """How strongly every query looks at every place of a map, by each head.

    Args:
        width: E.
        heads: H.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear, self.k_linear = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, queries: Tensor, places: Tensor, seen: Tensor) -> Tensor:
        """Queries [B, Q, E], a map [B, E, h, w] and where it counts [B, h, w] -> shares [B, Q, H, h, w].

        Those of one query, of all heads together, sum to one.
        """
        q = project(self.q_linear, queries)
        q = q.view(*q.shape[:-1], self.heads, -1)
        k = F.conv2d(places, self.k_linear.weight[..., None, None], self.k_linear.bias)
        k = k.view(k.shape[0], self.heads, -1, *k.shape[2:])
        scores = torch.einsum("bqhd,bhdyx->bqhyx", q * q.shape[-1] ** -0.5, k)
        scores = scores.masked_fill(~seen[:, None, None], torch.finfo(scores.dtype).min)
        return scores.flatten(2).softmax(-1).view(scores.shape)


class QueryMaskHead(Block):
    """Masks of queries: where they look, refined over larger and larger maps.

    Args:
        width: E, of the map that queries look at.
        heads: H.
        widths: channels of three larger maps, the smallest first.
        act: activation after each convolution.

    Raises:
        ValueError: for widths that the norms' groups do not divide, and for other than three maps.
    """

    def __init__(self, width: int, heads: int, widths: Sequence[int], act: str) -> None:
        super().__init__()
        if (width + heads) % 8 or len(widths) != 3:
            raise ValueError(
                f"masks are made of three maps above the last one, where width and heads ({width} + {heads}) "
                f"are a multiple of 8, but the backbone gives {len(widths)}: set out_features of its config"
            )
        made = [width + heads, *(width // 2**i for i in range(1, 5))]
        for i, (read, wide) in enumerate(zip([made[0], *made], made, strict=False), 1):
            setattr(self, f"lay{i}", nn.Conv2d(read, wide, 3, padding=1))
            setattr(self, f"gn{i}", nn.GroupNorm(min(8, wide), wide))
        for i, (read, wide) in enumerate(zip(widths, made[1:], strict=False), 1):
            setattr(self, f"adapter{i}", nn.Conv2d(read, wide, 1))
        self.out_lay, self.act = nn.Conv2d(made[-1], 1, 3, padding=1), act

    def _refined(self, x: Tensor, i: int) -> Tensor:
        convolved = getattr(self, f"lay{i}")(x)
        return activation(self.act)(getattr(self, f"gn{i}")(convolved))

    def forward(self, last: Tensor, looked: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """A map [B, E, h, w], where queries look [B, Q, H, h, w], larger maps -> masks [B * Q, 1, .., ..]."""
        queries = looked.shape[1]
        x = torch.cat((last.repeat_interleave(queries, 0), looked.flatten(0, 1)), 1)
        x = self._refined(self._refined(x, 1), 2)
        for i, one in enumerate(maps, 1):
            beside = getattr(self, f"adapter{i}")(one).repeat_interleave(queries, 0)
            x = self._refined(beside + F.interpolate(x, beside.shape[2:], mode="nearest"), i + 2)
        found: Tensor = self.out_lay(x)
        return found
