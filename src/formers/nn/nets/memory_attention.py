"""Memories of a film's frames: how they are made, and how they are read. See `spec.memory_attention`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.leaves import linear
from formers.nn.map_positions import SinePlaces
from formers.nn.nets.tree import NetNode, fill
from formers.nn.positions import rotate
from formers.nn.spec.memory_attention import FrameMemory, MemoryAttention
from formers.nn.steps import apply_rows
from formers.nn.tree import Group, leaf, place, wiring

_SHARE = 0.1  # of places, that is added to a frame's map
Turns = tuple[Tensor, Tensor]  # cosines and sines [1, n, D], as `rotate` takes them


def moments(ago: Tensor, width: int, warmth: float = 10_000.0) -> Tensor:
    """Sinusoids of how long ago something was, [n] -> [n, width]: sines of all waves, then cosines."""
    half = width // 2
    rates = warmth ** (2 * (torch.arange(half, device=ago.device) // 2) / half)
    angle = ago[:, None] / rates
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


class GridTurns(nn.Module):
    """Cosines and sines of the places of a grid, by their column and row."""

    row_wise = True

    def __init__(self, width: int, theta: float, grid: tuple[int, int]) -> None:
        super().__init__()
        self.width, self.theta, self.grid = width, theta, grid

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors [1, H * W, D], float32, each angle twice."""
        half, (across, down) = self.width // 2, self.grid
        rates = 1.0 / self.theta ** (torch.arange(0, half, 2, device=hidden_states.device).float() / half)
        at = torch.arange(across * down, device=hidden_states.device)
        turns = torch.cat([axis[:, None].float() * rates for axis in (at % across, at // across)], dim=-1)
        twice = turns.repeat_interleave(2, dim=-1)[None]
        return twice.cos(), twice.sin()


def _turned(x: Tensor, turns: Turns) -> Tensor:
    """[B, n, H, D] turned in float32."""
    return rotate(x.float(), *turns, adjacent=True).to(x.dtype)


class TurnedAttention(Group):
    """Attention of places to places, or to memories of those."""

    def __init__(self, s: MemoryAttention, read: int) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        inner = s.width // s.share
        for role, widths in (
            ("q", (s.width, inner)),
            ("k", (read, inner)),
            ("v", (read, inner)),
            ("o", (inner, s.width)),
        ):
            place(self, role, s.heads_names[role], linear("linear", *widths))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        turns: Turns,
        unplaced: int = 0,
        watched: bool = True,
    ) -> Tensor:
        """[B, 1, n, E] and keys [B, 1, m, C], of which the last `unplaced` stand at no place."""
        s: MemoryAttention = wiring(self).facts["spec"]
        q, k, v = (
            apply_rows(self, role, x, watched).view(len(x), x.shape[2], s.heads, -1)
            for role, x in zip("qkv", (query, key, value), strict=True)
        )  # [B, n, H, D]
        placed = k.shape[1] - unplaced
        if placed:  # by memories of several frames
            cos, sin = (one.repeat(1, placed // q.shape[1], 1) for one in turns)
            k = torch.cat((_turned(k[:, :placed], (cos, sin)), k[:, placed:]), dim=1)
        q, k, v = (one.transpose(1, 2) for one in (_turned(q, turns), k, v))
        rate = s.weights_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return apply_rows(self, "o", mixed.transpose(1, 2).flatten(2)[:, None], watched)


class RecallingLayer(Group):
    """Places attend to each other, to memories, and are fed forward, each behind a norm."""

    def __init__(self, s: MemoryAttention) -> None:
        super().__init__()
        path = s.layer_names
        for role, read in (("own", s.width), ("memory", s.read)):
            place(self, role, path[role], TurnedAttention(s, read))
        place(self, "widen", path["widen"], linear("linear", s.width, s.inner))
        place(self, "drop", path["drop"], Dropout(s.dropout))
        place(self, "narrow", path["narrow"], linear("linear", s.inner, s.width))
        for role in ("own", "memory", "feedforward"):
            place(self, f"{role}_norm", path[f"{role}_norm"], nn.LayerNorm(s.width))
            place(self, f"{role}_drop", path[f"{role}_drop"], Dropout(s.dropout))
        place(self, "act", path["act"], Activation(s.act))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        key_point_embedding: Tensor,
        turns: Turns,
        unplaced: int = 0,
        watched: bool = True,
    ) -> Tensor:
        """[B, 1, n, E] and memories [B, 1, m, C] with their places -> [B, 1, n, E]."""
        x: Tensor = queries
        y = leaf(self, "own_norm")(x)
        x = x + leaf(self, "own_drop")(leaf(self, "own")(y, y, y, turns, 0, watched))
        y, at = leaf(self, "memory_norm")(x), keys + key_point_embedding
        x = x + leaf(self, "memory_drop")(leaf(self, "memory")(y, at, keys, turns, unplaced, watched))
        y = apply_rows(self, "widen", leaf(self, "feedforward_norm")(x), watched, "act")
        y = apply_rows(self, "narrow", leaf(self, "drop")(y), watched)
        x = x + leaf(self, "feedforward_drop")(y)
        return x


class MemoryLayers(Group):
    """A frame's map that has read memories."""

    def __init__(self, s: MemoryAttention) -> None:
        super().__init__()
        layers = nn.ModuleList(RecallingLayer(s) for _ in range(s.layers))
        place(self, "layers", s.names["layers"], layers)
        place(self, "norm", s.names["norm"], nn.LayerNorm(s.width))
        turns = GridTurns(s.width // (s.share * s.heads), s.theta, s.grid)
        place(self, "turns", s.names["turns"], turns)

    def forward(
        self, rows: Tensor, memory: Tensor, at: Tensor, memory_at: Tensor, unplaced: int, watched: bool = True
    ) -> Tensor:
        """Rows [n, B, E] and memories [m, B, C], with the places of both -> [1, B, n, E].

        The last `unplaced` of the memories stand at no place.
        """
        x = (rows + _SHARE * at).transpose(0, 1)
        cos, sin = (one[..., ::2].tile(2) for one in leaf(self, "turns")(x))
        keys, places = (one.transpose(0, 1)[:, None] for one in (memory, memory_at))
        x = x[:, None]
        for layer in leaf(self, "layers"):
            x = layer(x, keys, places, (cos, sin), unplaced, watched)
        found: Tensor = leaf(self, "norm")(x).transpose(0, 1)
        return found


class MemoryEncoder(NetNode):
    """A map of what was found where."""

    def __init__(self, s: FrameMemory) -> None:
        super().__init__()
        fill(self, s.encoder)
        place(self, "places", s.names["places"], SinePlaces(s.kept))

    def forward(self, vision_features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # both by name
        """A frame's map [B, E, H, W] and shares [B, 1, h, w] -> [B, C, H, W], and the places of that."""
        found: Tensor = super().forward(masks, vision_features)
        return found, leaf(self, "places")(found.shape, found.device, found.dtype)


def pointers_at(s: FrameMemory, owner: Any, vectors: list[Tensor], ago: list[int], most: int) -> Any:
    """Vectors [B, E] of what was found, cut into pieces, with what is known of when: [n * E / C, B, C] each.

    Args:
        s: the spec.
        owner: has the role `pointer_when`.
        vectors: of every frame.
        ago: how many frames ago each was made.
        most: how many frames back vectors are looked for.
    """
    x = torch.stack(vectors)  # [n, B, E]
    if s.timed:
        times = torch.tensor(ago, device=x.device, dtype=torch.float32) / max(most - 1, 1)
        at = leaf(owner, "pointer_when")(moments(times, s.width).to(x.dtype))[:, None]
        at = at.expand(-1, x.shape[1], -1)
    else:
        at = x.new_zeros(len(ago), x.shape[1], s.kept)
    pieces = s.width // s.kept
    x = x.view(*x.shape[:2], pieces, s.kept).transpose(1, 2).flatten(0, 1)
    return x, at.repeat_interleave(pieces, dim=0)


def halvings(total: int, stride: int) -> int:
    """How often a step of `stride` fits into one of `total`."""
    return int(math.log2(total) // math.log2(stride))
