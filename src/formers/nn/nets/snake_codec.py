"""Sounds to codes and back by convolutions with periodic activations. See `spec.codec.SnakeCodec`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.fresh import Constant, Normal, Spread, begins
from formers.nn.nets.vocoder import around
from formers.nn.spec.codec import SnakeCodec


def _conv(
    read: int, made: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> nn.Conv1d:
    conv = nn.Conv1d(read, made, kernel, stride, padding, dilation)
    return begins(conv, weight=Spread(0.02), bias=Constant(0.0))


class Snake(nn.Module):
    """x + sin(a x)^2 / a, with a frequency for each channel (Ziyin et al. 2020, arXiv:2006.08195)."""

    row_wise = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, width, 1))
        begins(self, alpha=Constant(1.0))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        wave = torch.sin(self.alpha * hidden_states).pow(2)
        return hidden_states + (self.alpha + 1e-9).reciprocal() * wave


class SnakeUnit(nn.Module):
    """Two convolutions, the first of which looks far, added to what they read."""

    row_wise = True

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(width)
        self.conv1 = _conv(width, width, 7, padding=around(7, dilation), dilation=dilation)
        self.snake2 = Snake(width)
        self.conv2 = _conv(width, width, 1)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        found: Tensor = self.conv2(self.snake2(self.conv1(self.snake1(hidden_state))))
        return hidden_state + found


class SnakeStep(nn.Module):
    """Three units, and a step: down behind them, or up before them."""

    row_wise = True

    def __init__(self, read: int, made: int, rate: int, up: bool) -> None:
        super().__init__()
        self.up, width, pad = up, made if up else read, math.ceil(rate / 2)
        if up:
            self.snake1 = Snake(read)
            self.conv_t1 = nn.ConvTranspose1d(read, made, 2 * rate, rate, pad)
        self.res_unit1, self.res_unit2, self.res_unit3 = (SnakeUnit(width, 3**i) for i in range(3))
        if not up:
            self.snake1 = Snake(read)
            self.conv1 = _conv(read, made, 2 * rate, rate, pad)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        x = self.conv_t1(self.snake1(hidden_state)) if self.up else hidden_state
        x = self.res_unit3(self.res_unit2(self.res_unit1(x)))
        found: Tensor = x if self.up else self.conv1(self.snake1(x))
        return found


class Snakes(nn.Module):
    """A convolution, steps, and a convolution: down to vectors, or up to sounds between -1 and 1."""

    row_wise = True

    def __init__(self, s: SnakeCodec, up: bool) -> None:
        super().__init__()
        width, self.up = s.up_filters if up else s.filters, up
        self.conv1 = _conv(s.width if up else 1, width, 7, padding=3)
        self.block = nn.ModuleList()
        for rate in s.up if up else s.down:
            made = width // 2 if up else 2 * width
            self.block.append(SnakeStep(width, made, rate, up))
            width = made
        self.snake1 = Snake(width)
        self.conv2 = _conv(width, 1, 7, padding=3) if up else _conv(width, s.width, 3, padding=1)
        if up:
            self.tanh = nn.Tanh()

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        x = self.conv1(hidden_state)
        for step in self.block:
            x = step(x)
        found: Tensor = self.conv2(self.snake1(x))
        return self.tanh(found) if self.up else found


class NarrowBook(nn.Module):
    """Codes of a projection to few numbers, compared by angle."""

    row_wise = True

    def __init__(self, s: SnakeCodec) -> None:
        super().__init__()
        self.in_proj, self.out_proj = _conv(s.width, s.narrow, 1), _conv(s.narrow, s.width, 1)
        self.codebook = begins(nn.Embedding(s.size, s.narrow), weight=Normal(0.02))

    def forward(self, hidden_state: Tensor) -> tuple[Tensor, ...]:
        """[B, E, T] -> what stands for it, two losses, codes [B, T] and the projection [B, narrow, T]."""
        narrow = self.in_proj(hidden_state)
        rows, book = (
            F.normalize(one) for one in (narrow.transpose(1, 2).flatten(0, 1), self.codebook.weight)
        )
        far = -(rows.pow(2).sum(1, keepdim=True) - 2 * rows @ book.t()) + book.pow(2).sum(1)[None]
        codes = far.max(1).indices.view(len(narrow), -1)
        found = self.codebook(codes).transpose(1, 2)
        near, fits = F.mse_loss(narrow, found.detach()), F.mse_loss(found, narrow.detach())
        return self.out_proj(narrow + (found - narrow).detach()), near, fits, codes, narrow


class NarrowCodes(nn.Module):
    """Books, each of which codes what those before it left over."""

    row_wise = True
    quantizers: Any

    def __init__(self, s: SnakeCodec) -> None:
        super().__init__()
        self.spec = s
        self.quantizers = nn.ModuleList(NarrowBook(s) for _ in range(s.books))

    def forward(self, hidden_state: Tensor, count: int | None = None) -> tuple[Tensor, ...]:
        """[B, E, T] -> what stands for it, codes [B, n, T], projections [B, n * narrow, T], a loss [B].

        In training all books are asked, and of some sounds fewer count.
        """
        s, batch = self.spec, len(hidden_state)
        counts = torch.full((batch,), s.books if count is None else count)
        if self.training:
            counts = torch.full((batch,), s.books + 1)
            fewer, some = torch.randint(1, s.books + 1, (batch,)), int(batch * s.dropout)
            counts[:some] = fewer[:some]
        asked = self.quantizers if self.training or count is None else self.quantizers[:count]
        counts = counts.to(hidden_state.device)
        total, loss, left = torch.zeros_like(hidden_state), hidden_state.new_zeros(batch), hidden_state
        every = []
        for i, book in enumerate(asked):
            found, near, fits, codes, narrow = book(left)
            counted = counts > i
            total = total + found * counted[:, None, None]
            left = left - found
            loss = loss + (s.weights[0] * near + s.weights[1] * fits) * counted
            every.append((codes, narrow))
        codes = torch.stack([one for one, _ in every], dim=1)
        return total, codes, torch.cat([one for _, one in every], dim=1), loss

    def of_codes(self, codes: Tensor) -> Tensor:
        """[B, n, T] -> [B, E, T]."""
        total = torch.zeros((), device=codes.device)
        for book, code in zip(self.quantizers, codes.unbind(1), strict=False):
            total = total + book.out_proj(book.codebook(code).transpose(1, 2))
        return total
