"""Positions by what is near: a convolution along time, whose result is added to what enters the layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, Normal, begins
from formers.nn.passing import Pass
from formers.nn.tree import has, leaf


class NormedKernel(nn.Module):
    """A kernel by its directions and, for each place along one axis, a length (arXiv:1602.07868).

    The axis is that of its columns, unless another is said.
    """

    def __init__(self, out: int, width: int, kernel: int, deviation: float, axis: int = 2) -> None:
        super().__init__()
        shape = (out, width, kernel)
        self.axis = axis
        self.original0 = nn.Parameter(torch.empty([n if i == axis else 1 for i, n in enumerate(shape)]))
        self.original1 = nn.Parameter(torch.empty(shape))
        length = deviation * math.sqrt(math.prod(shape) / shape[axis])
        begins(self, original0=Constant(length), original1=Normal(deviation))

    def forward(self) -> Tensor:
        """[C', C, K]."""
        found: Tensor = torch._weight_norm(
            self.original1, self.original0, self.axis
        )  # one pass over the directions
        return found


def _deviation(kernel: int, width: int) -> float:
    """That of a kernel's first values."""
    return 2 * math.sqrt(1 / (kernel * width))


class NormedConv(nn.Module):
    """A convolution along time with such a kernel, padded by half of it on both sides."""

    def __init__(self, width: int, kernel: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.groups, self.padding, self.stride = groups, kernel // 2, stride
        self.bias = nn.Parameter(torch.empty(width))
        begins(self, bias=Constant(0.0))
        self.parametrizations = nn.ModuleDict()  # as files have it
        kernels = NormedKernel(width, width // groups, kernel, _deviation(kernel, width))
        self.parametrizations["weight"] = kernels

    @property
    def weight(self) -> Tensor:
        """[C', C, K]."""
        found: Tensor = self.parametrizations["weight"]()
        return found

    def forward(self, x: Tensor) -> Tensor:
        """[B, E, T] -> [B, E, T + 1], or T for an odd kernel; every `stride`-th of those."""
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)


class Shortened(nn.Module):
    """The last column of what an even kernel made, which is one too many, is left out."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.more = int(kernel % 2 == 0)

    def forward(self, x: Tensor) -> Tensor:
        """[.., T + 1] -> [.., T]."""
        return x[..., : x.shape[-1] - self.more]


class NearStep(nn.Module):
    """One of several convolutions: a norm without weights over features, and an activation."""

    def __init__(self, s: spec.ConvolutionalPositions, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, s.kernel, padding=s.kernel // 2, groups=s.groups)
        begins(self.conv, weight=Normal(_deviation(s.kernel, width)), bias=Constant(0.0))
        self.padding = Shortened(s.kernel)
        self.activation = Activation(s.activation)
        self.layer_norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, E, T] -> [B, E, T]."""
        x = self.layer_norm(self.padding(self.conv(x)).transpose(1, 2)).transpose(1, 2)
        found: Tensor = self.activation(x)
        return found


class NearConvolution(nn.Module):
    """See `spec.ConvolutionalPositions`."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.ConvolutionalPositions, width: int) -> None:
        super().__init__()
        if s.depth is not None:
            self.layers = nn.ModuleList(NearStep(s, width) for _ in range(s.depth))
            return
        self.conv = NormedConv(width, s.kernel, s.groups, s.every)
        self.padding = Shortened(s.kernel)
        self.activation = Activation(s.activation)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, T, E] -> [B, T, E]."""
        x = hidden_states.transpose(1, 2)
        if "layers" in self._modules:
            for layer in self.layers:
                x = layer(x)
        else:
            x = self.activation(self.padding(self.conv(x)))
        return x.transpose(1, 2)


class FewerConvolution(NearConvolution):
    """Such a convolution in longer steps, which is called by features: [B, E, T] -> [B, E, T']."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Compute."""
        found: Tensor = self.activation(self.padding(self.conv(hidden_states)))
        return found


class Widening(nn.Module):
    """Several rows of each, by a linear layer: [B, T', E] -> [B, every * T', E]."""

    row_wise = True  # it is called with whole sounds

    def __init__(self, s: spec.ConvolutionalPositions, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width * s.every)
        self.activation = Activation(s.activation)
        self.every = s.every

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Compute."""
        x: Tensor = self.activation(self.projection(hidden_states))
        return x.reshape(x.shape[0], self.every * x.shape[1], -1)


def place_near(s: spec.ConvolutionalPositions, width: int, put: Callable[[str, nn.Module], Any]) -> None:
    """Register the convolution, and the norm and dropout of the sum, by a function that knows their paths."""
    if s.every > 1:
        put("near", FewerConvolution(s, width))
        put("near_pool", nn.AvgPool1d(s.every, s.every))
        put("widen", Widening(s, width))
    elif s.kernel:
        put("idle_near" if s.idle else "near", NearConvolution(s, width))
    if s.norm is not None:
        put("near_norm", nn.LayerNorm(width, eps=s.norm.eps))
    if s.dropout is not None:
        put("near_dropout", Dropout(s.dropout))


def add_near(owner: nn.Module, x: Tensor, pass_: Pass) -> Tensor:
    """Add it, where nothing counts that is not real: [N, E], or [B, T, E] in a watched pass."""
    whole = _without_padding(x, pass_)
    if has(owner, "near"):
        whole = whole + leaf(owner, "near")(whole)
    whole = _finished(owner, whole)
    return whole if x.dim() == 3 else pass_.layout.pack(whole)


def _without_padding(x: Tensor, pass_: Pass) -> Tensor:
    """[B, T, E], zeros where nothing is real."""
    real = pass_.visibility.real
    whole = x if x.dim() == 3 else pass_.layout.unpack(x)
    return whole if real is None else whole * real[..., None]


def _finished(owner: nn.Module, whole: Tensor) -> Tensor:
    """The norm and the dropout of the sum."""
    if has(owner, "near_norm"):
        whole = leaf(owner, "near_norm")(whole)
    return leaf(owner, "near_dropout")(whole) if has(owner, "near_dropout") else whole


def fewer_rows(owner: nn.Module, x: Tensor, pass_: Pass) -> tuple[Tensor, Pass]:
    """Make one row of several, and the pass over those; rows that hold anything real are real.

    Raises:
        ValueError: for sounds of which no row is left.
    """
    whole = _without_padding(x, pass_).transpose(1, 2)  # [B, E, T]
    every = leaf(owner, "widen").every
    if whole.shape[2] < every:
        raise ValueError(
            f"the sounds make {whole.shape[2]} rows, of which the layers read one of every {every}: pad them"
        )
    mean, near = leaf(owner, "near_pool")(whole), leaf(owner, "near")(whole)
    whole = _finished(owner, (mean + near[..., : mean.shape[2]]).transpose(1, 2))
    counts = pass_.layout.unpack(x.new_ones(x.shape[0], dtype=torch.bool)) if x.dim() == 2 else None
    real = pass_.visibility.real if counts is None or pass_.layout.index is None else counts
    if real is not None:
        length = whole.shape[1]
        real = real[:, : length * every].view(len(real), length, every).any(2)  # [B, T']
    below = pass_.within(whole.shape[1], real)
    return (whole if below.watched else below.layout.pack(whole)), below


def as_many_rows(owner: nn.Module, x: Tensor, below: Pass, pass_: Pass) -> Tensor:
    """Behind the layers, as many rows as before; those that none was made of are zeros.

    What callers see of the layers has the rows that those read.
    """
    whole = leaf(owner, "widen")(x if x.dim() == 3 else below.layout.unpack(x))
    whole = F.pad(whole, (0, 0, 0, pass_.layout.length - whole.shape[1]))
    for name, kept in below.trace.items():
        rows = name == "hidden_states" and not below.watched
        pass_.trace[name].extend(below.layout.unpack(one) if rows else one for one in kept)
    return whole if pass_.watched else pass_.layout.pack(whole)
