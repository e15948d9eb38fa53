"""Sounds to codes and back: SEANet with an LSTM, and residual codebooks. See `spec.codec`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.fresh import Constant, begins
from formers.nn.leaves import spread_by_fan_in
from formers.nn.nets.weight_norm import NormedConv1d, NormedTurned1d
from formers.nn.spec.codec import Codec


class PaddedConv(nn.Module):
    """A convolution that makes a place of every `stride`, the last of which may be partly padding."""

    row_wise = True

    def __init__(
        self,
        s: Codec,
        read: int,
        made: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        padding: str | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.stride, self.reach = s, stride, (kernel - 1) * dilation + 1
        self.padding = padding or s.padding
        if s.norm == "weights":
            self.conv: nn.Module = NormedConv1d(read, made, kernel, dilation, stride=stride)
        else:
            plain = nn.Conv1d(read, made, kernel, stride, dilation=dilation, bias=bias)
            self.conv = spread_by_fan_in(plain, read * kernel)
        if s.norm == "sounds":
            self.norm = nn.GroupNorm(1, made)

    def forward(self, hidden_states: Tensor, before: Before | None = None) -> Tensor:
        """[B, C, T] -> [B, C', ceil(T / stride)]; of a stream what came before is read too."""
        if before is not None:
            found: Tensor = self.conv(before.joined(self, hidden_states))
            return self.norm(found) if self.spec.norm == "sounds" else found
        length, around = hidden_states.shape[-1], self.reach - self.stride
        places = -(-(length - self.reach + around) // self.stride)  # but for the first
        more = places * self.stride + self.reach - around - length
        behind = 0 if self.spec.causal else around // 2
        x = padded(hidden_states, around - behind, behind + more, self.padding)
        found = self.conv(x)
        return self.norm(found) if self.spec.norm == "sounds" else found


class Before:
    """What convolutions read last of a stream: of each as many places as it reaches back."""

    def __init__(self) -> None:
        self._held: dict[nn.Module, Tensor] = {}

    def joined(self, conv: PaddedConv, x: Tensor) -> Tensor:
        """[B, C, T] behind what that convolution read before; at the beginning of a stream its padding.

        Raises:
            ValueError: for convolutions that read what comes later, and padding that is not known yet.
        """
        if not conv.spec.causal or conv.padding == "reflect":
            raise ValueError(
                "a sound is read as a stream by causal convolutions whose padding is constant or replicated: "
                "set use_causal_conv and pad_mode in the config, or leave use_streaming out"
            )
        count, held = conv.reach - conv.stride, self._held.get(conv)
        if held is None:
            first = x[..., :1] if conv.padding == "replicate" else torch.zeros_like(x[..., :1])
            held = first.expand(-1, -1, count)
        both = torch.cat((held, x), dim=-1)
        self._held[conv] = both[..., both.shape[-1] - count :]
        return both


def padded(x: Tensor, before: int, behind: int, mode: str) -> Tensor:
    """[.., T] -> [.., before + T + behind]; a sound too short to be reflected gets zeros behind it first."""
    if mode != "reflect":
        return F.pad(x, (before, behind), mode=mode)
    short = max(max(before, behind) - x.shape[-1] + 1, 0)
    found = F.pad(F.pad(x, (0, short)), (before, behind), mode="reflect")
    return found[..., : found.shape[-1] - short]


class TurnedConv(nn.Module):
    """A convolution turned round, which makes `stride` places of every one."""

    row_wise = True

    def __init__(
        self,
        s: Codec,
        read: int,
        made: int,
        kernel: int,
        stride: int,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.spec, self.over = s, kernel - stride
        if s.norm == "weights":
            self.conv: nn.Module = NormedTurned1d(read, made, kernel, stride)
        else:
            plain = nn.ConvTranspose1d(read, made, kernel, stride, groups=groups, bias=bias)
            self.conv = spread_by_fan_in(plain, read * kernel // groups)
        if s.norm == "sounds":
            self.norm = nn.GroupNorm(1, made)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', stride * T]."""
        x: Tensor = self.conv(hidden_states)
        x = self.norm(x) if self.spec.norm == "sounds" else x
        behind = math.ceil(self.over * self.spec.trim) if self.spec.causal else self.over // 2
        return x[..., self.over - behind : x.shape[-1] - behind]


class Recurrent(nn.Module):
    """An LSTM along time, added to what it reads."""

    row_wise = True

    def __init__(self, s: Codec, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, s.recurrent)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        x = hidden_states.permute(2, 0, 1)
        found: Tensor = self.lstm(x)[0]
        return (found + x).permute(1, 2, 0)


class Unit(nn.Module):
    """Two convolutions, the first of which looks far, beside a shortcut."""

    row_wise = True

    def __init__(self, s: Codec, width: int, dilation: int) -> None:
        super().__init__()
        inner = width // s.narrows
        far = PaddedConv(s, width, inner, s.inner_kernel, dilation=dilation)
        self.block = nn.ModuleList([nn.ELU(), far, nn.ELU(), PaddedConv(s, inner, width, 1)])
        self.shortcut = PaddedConv(s, width, width, 1) if s.shortcut else nn.Identity()

    def forward(self, hidden_states: Tensor, before: Before | None = None) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        x = _through(self.block, hidden_states, before)
        return _through([self.shortcut], hidden_states, before) + x


class Chain(nn.Module):
    """Parts, one after the other."""

    row_wise = True

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(parts)

    def forward(self, hidden_states: Tensor, before: Before | None = None) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        return _through(self.layers, hidden_states, before)


def _through(parts: Iterable[nn.Module], x: Tensor, before: Before | None) -> Tensor:
    """Parts in turn; convolutions of a stream read what came before."""
    for part in parts:
        x = part(x, before) if before is not None and isinstance(part, (PaddedConv, Unit)) else part(x)
    return x


def units(s: Codec, width: int) -> list[nn.Module]:
    """Those beside a step."""
    return [Unit(s, width, s.growth**i) for i in range(s.units)]


def down(s: Codec) -> Chain:
    """Sounds [B, channels, T] to vectors [B, width, T / product of ratios]."""
    parts: list[nn.Module] = [PaddedConv(s, s.channels, s.filters, s.kernel)]
    width = s.filters
    for ratio in reversed(s.ratios):
        parts += [*units(s, width), nn.ELU(), PaddedConv(s, width, 2 * width, 2 * ratio, ratio)]
        width *= 2
    between = [Recurrent(s, width)] if s.recurrent else []
    return Chain([*parts, *between, nn.ELU(), PaddedConv(s, width, s.width, s.last_kernel)])


def up(s: Codec) -> Chain:
    """Vectors to sounds."""
    width = s.filters * 2 ** len(s.ratios)
    parts: list[nn.Module] = [PaddedConv(s, s.width, width, s.kernel)]
    parts += [Recurrent(s, width)] if s.recurrent else []
    for ratio in s.ratios:
        parts += [nn.ELU(), TurnedConv(s, width, width // 2, 2 * ratio, ratio), *units(s, width // 2)]
        width //= 2
    return Chain([*parts, nn.ELU(), PaddedConv(s, width, s.channels, s.last_kernel)])


class Codebook(nn.Module):
    """Vectors that stand for others near them; no gradient trains them."""

    embed: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        shapes = {"inited": (1,), "cluster_size": (size,), "embed": (size, width), "embed_avg": (size, width)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
            begins(self, **{name: Constant(float(name == "inited"))})

    def encode(self, x: Tensor) -> Tensor:
        """The nearest of [B, width, T]: codes [B, T], int64."""
        rows, book = x.transpose(1, 2).flatten(0, 1), self.embed.t()
        far = rows.pow(2).sum(1, keepdim=True) - 2 * rows @ book + book.pow(2).sum(0, keepdim=True)
        return (-far).max(dim=-1).indices.view(x.shape[0], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, T] -> [B, width, T]."""
        return F.embedding(codes, self.embed).transpose(1, 2)


class Book(nn.Module):
    """What holds one."""

    def __init__(self, s: Codec) -> None:
        super().__init__()
        self.codebook = Codebook(s.size, s.width)


class ResidualCodes(nn.Module):
    """Books, each of which codes what those before it left over (arXiv:2107.03312, section III-C)."""

    row_wise = True
    layers: Any

    def __init__(self, s: Codec) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Book(s) for _ in range(s.books))

    def encode(self, x: Tensor, count: int) -> Tensor:
        """[B, width, T] -> codes of the first `count` books, [B, count, T]."""
        found = []
        for layer in self.layers[:count]:
            found.append(layer.codebook.encode(x))
            x = x - layer.codebook.decode(found[-1])
        return torch.stack(found, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, n, T] -> [B, width, T]."""
        parts = [
            layer.codebook.decode(code) for layer, code in zip(self.layers, codes.unbind(1), strict=False)
        ]
        total = torch.zeros((), device=codes.device)
        for part in parts:
            total = total + part
        return total


def overlapped(frames: list[Tensor], stride: int) -> Tensor:
    """Frames [B, C, T] that begin every `stride`, faded into each other: [B, C, T']."""
    length, last = frames[0].shape[-1], frames[-1]
    at = torch.linspace(0, 1, length + 2, device=last.device, dtype=last.dtype)[1:-1]
    weight = 0.5 - (at - 0.5).abs()
    total = last.new_zeros(*last.shape[:-1], stride * (len(frames) - 1) + last.shape[-1])
    weights = last.new_zeros(total.shape[-1])
    for i, frame in enumerate(frames):
        here = slice(i * stride, i * stride + frame.shape[-1])
        total[..., here] += weight[: frame.shape[-1]] * frame
        weights[here] += weight[: frame.shape[-1]]
    return total / weights
