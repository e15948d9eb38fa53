"""Convolutions along time whose kernels have a length for every channel that they make."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.fresh import Uniform, begins
from formers.nn.near import NormedKernel


class NormedConv1d(nn.Module):
    """A convolution with a normed kernel (arXiv:1602.07868), which pads with zeros on both sides."""

    def __init__(self, read: int, made: int, kernel: int, dilation: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.dilation, self.padding = dilation, padding
        self.bias = nn.Parameter(torch.empty(made))
        begins(self, bias=Uniform(math.sqrt(1 / (read * kernel))))
        self.parametrizations = nn.ModuleDict()  # as files have it
        self.parametrizations["weight"] = NormedKernel(made, read, kernel, math.sqrt(2 / (read * kernel)), 0)

    @property
    def weight(self) -> Tensor:
        """[C', C, K]."""
        found: Tensor = self.parametrizations["weight"]()
        return found

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T']."""
        return F.conv1d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)
