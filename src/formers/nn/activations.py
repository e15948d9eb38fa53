"""Activation functions by the names that configs use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.core.notices import did_you_mean


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _gelu_10(x: Tensor) -> Tensor:
    return F.gelu(x).clamp(-10, 10)


def _mish(x: Tensor) -> Tensor:
    return F.mish(x)


def _laplace(x: Tensor, mean: float = 0.707107, deviation: float = 0.282095) -> Tensor:
    return 0.5 * (1.0 + torch.erf((x - mean) / (deviation * math.sqrt(2.0))))


def _squared_relu(x: Tensor) -> Tensor:
    return F.relu(x).square()


_tanh_gelu = partial(F.gelu, approximate="tanh")

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "gelu": F.gelu,
    "gelu_10": _gelu_10,
    "gelu_fast": _tanh_gelu,
    "gelu_new": _tanh_gelu,
    "gelu_python": F.gelu,
    "gelu_python_tanh": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "gelu_accurate": _tanh_gelu,
    "laplace": _laplace,
    "leaky_relu": F.leaky_relu,
    "linear": lambda x: x,
    "mish": _mish,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "relu2": _squared_relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "swish": F.silu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
}


_IN_PLACE: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    F.gelu: torch.ops.aten.gelu_,
    _tanh_gelu: partial(torch.ops.aten.gelu_, approximate="tanh"),
    F.relu: torch.relu_,
    F.silu: partial(F.silu, inplace=True),
    torch.sigmoid: torch.sigmoid_,
    torch.tanh: torch.tanh_,
}


def activation(name: str, in_place: bool = False) -> Callable[[Tensor], Tensor]:
    """The function of that name; `in_place` lets it write its result over what it is given.

    Raises:
        ValueError: for an unknown name, with the nearest known one.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}{did_you_mean(name, ACTIVATIONS)}")
    found = ACTIVATIONS[name]
    return _IN_PLACE.get(found, found) if in_place else found


class Activation(nn.Module):
    """An activation as a node of the tree, so that it can be hooked and replaced."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._function = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        """[..] -> [..]."""
        return self._function(x)

    def extra_repr(self) -> str:
        """The activation's name."""
        return self.name

    def __reduce__(self) -> tuple[type[Activation], tuple[str], dict[str, object]]:
        # some of the functions have no name that pickle could find
        kept = {key: value for key, value in self.__dict__.items() if key != "_function"}
        return type(self), (self.name,), kept
