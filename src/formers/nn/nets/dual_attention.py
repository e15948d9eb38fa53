"""Blocks of attention within windows of places and between groups of channels: `spec.nets.DualAttention`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.dropout import DropPath
from formers.nn.leaves import linear
from formers.nn.spec import nets
from formers.nn.tree import Group, leaf, place, wiring


class Mixing(Group):
    """What both kinds of attention hold."""

    def __init__(self, s: nets.DualAttention) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        place(self, "qkv", s.names["qkv"], linear("linear", s.width, 3 * s.width, s.bias))
        place(self, "o", s.names["o"], linear("linear", s.width, s.width))


class WindowMix(Mixing):
    """Attention within windows of [B, H, W, C]; zeros stand to the right and below where those do not fit."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H * W, C]."""
        s: nets.DualAttention = wiring(self).facts["spec"]
        batch, high, wide, width = hidden_states.shape
        edge, short = s.window, (-high % s.window, -wide % s.window)
        x = F.pad(hidden_states, (0, 0, 0, short[1], 0, short[0]))
        down, across = x.shape[1] // edge, x.shape[2] // edge
        x = x.view(batch, down, edge, across, edge, width).transpose(2, 3).reshape(-1, edge * edge, width)
        made: Tensor = leaf(self, "qkv")(x)
        query, key, value = made.view(*x.shape[:2], 3, s.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = leaf(self, "o")(mixed.transpose(1, 2).reshape(x.shape))
        x = mixed.view(batch, down, across, edge, edge, width).transpose(2, 3)
        whole: Tensor = x.reshape(batch, down * edge, across * edge, width)
        return whole[:, :high, :wide].reshape(batch, high * wide, width)


class ChannelMix(Mixing):
    """Attention between the channels of a group, over all places, whose number's root divides the scores."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        s: nets.DualAttention = wiring(self).facts["spec"]
        made: Tensor = leaf(self, "qkv")(hidden_states)
        parts = made.view(*hidden_states.shape[:2], 3, s.groups, -1)
        query, key, value = parts.permute(2, 0, 3, 4, 1)  # [B, groups, C / groups, N]
        mixed = F.scaled_dot_product_attention(query, key, value, scale=hidden_states.shape[1] ** -0.5)
        found: Tensor = leaf(self, "o")(mixed.permute(0, 3, 1, 2).reshape(hidden_states.shape))
        return found


class FeedForward(Group):
    """Two linear layers."""

    def __init__(self, s: nets.DualAttention) -> None:
        super().__init__()
        place(self, "act", s.names["act"], Activation(s.act))
        place(self, "up", s.names["up"], linear("linear", s.width, s.inner))
        place(self, "down", s.names["down"], linear("linear", s.inner, s.width))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[.., C] -> [.., C]."""
        found: Tensor = leaf(self, "down")(leaf(self, "act")(leaf(self, "up")(hidden_states)))
        return found


class HalfBlock(Group):
    """A convolution of each channel, attention, another, and a feed-forward; all are added."""

    def __init__(self, s: nets.DualAttention, which: str, drop: float) -> None:
        super().__init__()
        wiring(self).facts["windows"] = which == "windows"
        for i, (role, made) in enumerate(
            (("mix", (WindowMix if which == "windows" else ChannelMix)(s)), ("feedforward", FeedForward(s))),
            1,
        ):
            conv = nn.Conv2d(s.width, s.width, 3, padding=1, groups=s.width)
            place(self, f"conv_{i}", s.names[f"conv_{i}"], conv)
            place(self, f"norm_{i}", s.names[f"norm_{i}"], nn.LayerNorm(s.width))
            place(self, role, s.names[f"{which}_mix" if role == "mix" else role], made)
            place(self, f"drop_{i}", s.names[f"drop_{i}"], DropPath(drop) if drop else nn.Identity())

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        size, maps = hidden_states.shape, hidden_states
        for i, role in enumerate(("mix", "feedforward"), 1):
            maps = leaf(self, f"conv_{i}")(maps) + maps
            rows = maps.flatten(2).transpose(1, 2)
            normed = leaf(self, f"norm_{i}")(rows)
            if role == "mix" and wiring(self).facts["windows"]:
                normed = normed.view(size[0], *size[2:], size[1])
            rows = rows + leaf(self, f"drop_{i}")(leaf(self, role)(normed))
            maps = rows.transpose(1, 2).reshape(size)
        return maps


class DualBlock(Group):
    """Both halves."""

    def __init__(self, s: nets.DualAttention) -> None:
        super().__init__()
        for which, drop in zip(("windows", "channels"), s.drops, strict=True):
            place(self, which, s.names[which], HalfBlock(s, which, drop))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        found: Tensor = leaf(self, "channels")(leaf(self, "windows")(hidden_states))
        return found


class SidePlaces(Group):
    """Learned vectors of rows and of columns of a map, half the channels each."""

    def __init__(self, count: int, width: int, rows: str, columns: str) -> None:
        super().__init__()
        place(self, "rows", rows, nn.Embedding(count, width // 2))
        place(self, "columns", columns, nn.Embedding(count, width - width // 2))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, C, H, W] -> what is added to it, likewise.

        Raises:
            ValueError: for a map of more rows or columns than there are vectors for.
        """
        batch, _, high, wide = pixel_values.shape
        room = leaf(self, "rows").num_embeddings
        if max(high, wide) > room:
            raise ValueError(
                f"the picture's last map has {high} rows and {wide} columns, and there are positions for "
                f"{room}: make it smaller"
            )
        across, down = (
            leaf(self, role)(torch.arange(count, device=pixel_values.device))
            for role, count in (("columns", wide), ("rows", high))
        )
        both = torch.cat((across.expand(high, -1, -1), down[:, None].expand(-1, wide, -1)), dim=-1)
        return both.permute(2, 0, 1).expand(batch, -1, -1, -1)
