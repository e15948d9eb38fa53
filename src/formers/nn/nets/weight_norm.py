"""Convolutions along time whose kernels have a length for each of their first channels (arXiv:1602.07868)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.convolutional_positions import NormedKernel
from formers.nn.fresh import Uniform, begins


class _Normed(nn.Module):
    """The kernel [first, second, K], and a bias [made]."""

    def __init__(self, first: int, second: int, made: int, kernel: int, count: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(made))
        begins(self, bias=Uniform(math.sqrt(1 / count)))
        self.parametrizations = nn.ModuleDict()  # as files have it
        self.parametrizations["weight"] = NormedKernel(first, second, kernel, math.sqrt(2 / count), axis=0)

    @property
    def weight(self) -> Tensor:
        """[first, second, K]."""
        found: Tensor = self.parametrizations["weight"]()
        return found


class NormedConv1d(_Normed):
    """A convolution, which pads with zeros on both sides."""

    def __init__(
        self, read: int, made: int, kernel: int, dilation: int = 1, padding: int = 0, stride: int = 1
    ) -> None:
        super().__init__(made, read, made, kernel, read * kernel)
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class NormedTurned1d(_Normed):
    """A convolution turned round: every place makes `stride` more."""

    def __init__(self, read: int, made: int, kernel: int, stride: int) -> None:
        super().__init__(read, made, made, kernel, read * kernel)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', stride * (T - 1) + K]."""
        return F.conv_transpose1d(x, self.weight, self.bias, self.stride)
