"""The leaves of networks over maps, and which leaf a spec asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.dropout import Dropout, DropPath
from formers.nn.fresh import Constant, Normal, Xavier, begins
from formers.nn.nets.dual_attention import DualBlock
from formers.nn.spec import nets


class FanOut:
    """Normal, with the root of two over how many places read each number (He et al. 2015)."""

    def fill_(self, tensor: Tensor) -> None:
        """[out, in, height, width]."""
        nn.init.kaiming_normal_(tensor, mode="fan_out", nonlinearity="relu")


class SameConv(nn.Conv2d):
    """A convolution that makes ceil(size / stride) places, more zeros behind than before them."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, ceil(H / stride), ceil(W / stride)]."""
        return super().forward(same_padded(self, input))


def same_padded(conv: Any, x: Tensor) -> Tensor:
    """What a `SameConv` reads, with its zeros."""
    sides: list[int] = []
    for axis in (1, 0):
        size, stride = x.shape[2 + axis], conv.stride[axis]
        short = max(conv.kernel_size[axis] - (size % stride or stride), 0)
        sides += [side * conv.dilation[axis] for side in (short // 2, short - short // 2)]
    return F.pad(x, sides)


class SamePad(nn.Module):
    """The zeros of a `SameConv`, as a part that is called: windows stand at ceil(size / stride) places."""

    def __init__(self, kernel: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation = (kernel,) * 2, (stride,) * 2, (dilation,) * 2

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H + zeros, W + zeros]."""
        return same_padded(self, input)


class StandardConv(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1 for each channel it makes (arXiv:1903.10520)."""

    pad: SamePad | None
    eps = 1e-6

    def standard(self) -> Tensor:
        """The weights that it computes with, [out, in, height, width]."""
        rows = self.weight.reshape(1, len(self.weight), -1)
        standard: Tensor = F.batch_norm(rows, None, None, training=True, eps=self.eps).view_as(self.weight)
        return standard

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H', W']."""
        found: Tensor = self._conv_forward(padded(self, input), self.standard(), self.bias)
        return found


def padded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """What a convolution reads, with zeros that depend on its size."""
    if type(conv) is StandardConv:
        found: Tensor = x if conv.pad is None else conv.pad(x)
        return found
    return same_padded(conv, x) if type(conv) is SameConv else x


class ActiveGroupNorm(nn.GroupNorm):
    """A group norm, and the activation that reads what it made."""

    def __init__(self, groups: int, width: int, eps: float, act: nn.Module) -> None:
        super().__init__(groups, width, eps)
        self.activation = act

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        found: Tensor = self.activation(super().forward(input))
        return found


class PaddedPool(nn.MaxPool2d):
    """The largest of windows, over what its part `pad` makes."""

    def __init__(self, size: int, stride: int, zeros: bool) -> None:
        super().__init__(size, stride)
        self.pad = SamePad(size, stride) if zeros else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H', W']."""
        found: Tensor = super().forward(self.pad(input))
        return found


class FrozenNorm(nn.Module):
    """A batch norm that nothing trains and nothing updates: all its tensors are buffers, [C] each."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        starts = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
        for name, value in starts.items():
            self.register_buffer(name, torch.full((width,), value))
        begins(self, **{name: Constant(value) for name, value in starts.items()})

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return input * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


class NormedConv(nn.Conv2d):
    """A convolution that holds the norm which reads what it made."""

    norm: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """[B, in, H, W] -> [B, out, H', W']."""
        found: Tensor = self.norm(super().forward(input))
        return found


def freeze_norms(net: nn.Module) -> None:
    """Put a `FrozenNorm` with the same values in the place of every batch norm of a network."""
    for node in list(net.modules()):
        for name, part in node._modules.items():
            if isinstance(part, nn.BatchNorm2d):
                made = FrozenNorm(part.num_features)
                made._buffers.update({key: getattr(part, key).detach() for key in made._buffers})
                node._modules[name] = made


class MapNorm(nn.LayerNorm):
    """A layer norm of the channels of [B, C, H, W]."""

    row_wise = True

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Responses(nn.Module):
    """See `spec.nets.Responses`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.bias = nn.Parameter(torch.zeros(1, 1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H, W, C]."""
        norms: Tensor = torch.linalg.vector_norm(x, ord=2, dim=(1, 2), keepdim=True)
        return self.weight * (x * (norms / (norms.mean(dim=-1, keepdim=True) + 1e-6))) + self.bias + x


def _conv(s: nets.Conv, kind: type[nn.Conv2d] | None = None) -> nn.Module:
    pad = s.dilation * (s.kernel // 2) if s.padding is None else s.padding
    by_size = s.same and (s.standard is None or s.stride > 1)  # with a stride of 1 zeros are alike
    plain = kind or (SameConv if by_size else nn.Conv2d)
    kind = plain if s.standard is None else StandardConv
    made = kind(s.read, s.made, s.kernel, s.stride, 0 if by_size else pad, s.dilation, s.groups, bias=s.bias)
    if isinstance(made, StandardConv) and s.standard is not None:
        made.eps = s.standard
        made.pad = SamePad(s.kernel, s.stride, s.dilation) if by_size else None
    return _even(begins(made, weight=FanOut()) if s.spread else made, s.gain)


def _even(made: nn.Module, gain: float | None) -> nn.Module:
    return made if gain is None else begins(made, weight=Xavier(gain))


def _normed(s: nets.NormedConv) -> nn.Module:
    made = _conv(s.conv, NormedConv)
    made.norm = FrozenNorm(s.conv.made)
    return made.requires_grad_(s.trained)


def _batch_norm(s: nets.BatchNorm) -> nn.Module:
    made = nn.BatchNorm2d(s.width, s.eps, s.momentum)
    return made if s.deviation is None else begins(made, weight=Normal(s.deviation))


def _group_norm(s: nets.GroupNorm) -> nn.Module:
    if s.act is None:
        return nn.GroupNorm(s.groups, s.width, s.eps)
    return ActiveGroupNorm(s.groups, s.width, s.eps, _act(s.act))


def _pool(s: nets.Pool) -> nn.Module:
    if s.zeros is not None:
        return PaddedPool(s.size, s.stride, s.zeros)
    if not s.size:
        return (nn.AdaptiveMaxPool2d if s.kind == "largest" else nn.AdaptiveAvgPool2d)(s.to)
    if s.kind == "largest":
        return nn.MaxPool2d(s.size, s.stride, s.padding)
    return nn.AvgPool2d(s.size, s.stride, s.padding, s.whole, count_include_pad=False)


def _drop(s: nets.Drop) -> nn.Module:
    if not s.paths:
        return nn.Dropout2d(s.rate) if s.channels else Dropout(s.rate)
    return DropPath(s.rate) if s.rate else nn.Identity()


def _act(s: nets.Act) -> nn.Module:
    if s.name is None:
        return nn.Identity()
    return nn.LeakyReLU(s.slope) if s.name == "leaky_relu" else Activation(s.name)


def _norm(s: nets.ChannelNorm) -> nn.Module:
    return (nn.LayerNorm if s.rows else MapNorm)(s.width, eps=s.eps)


LEAVES: dict[type[Any], Callable[[Any], nn.Module]] = {
    nets.Conv: _conv,
    nets.BatchNorm: _batch_norm,
    nets.FrozenNorm: lambda s: FrozenNorm(s.width),
    nets.NormedConv: _normed,
    nets.ChannelNorm: _norm,
    nets.GroupNorm: _group_norm,
    nets.Act: _act,
    nets.Pool: _pool,
    nets.Larger: lambda s: nn.Upsample(scale_factor=s.factor, mode="bilinear", align_corners=s.corners),
    nets.Spread: lambda s: nn.ConvTranspose2d(s.read, s.made, s.factor, stride=s.factor),
    nets.Shuffled: lambda s: nn.PixelShuffle(s.factor),
    nets.Pad: lambda s: nn.ZeroPad2d(s.sides),
    nets.Dense: lambda s: _even(nn.Linear(s.read, s.made, s.bias), s.gain),
    nets.Responses: lambda s: begins(Responses(s.width), weight=Constant(0.0), bias=Constant(0.0)),
    nets.Drop: _drop,
    nets.DualAttention: DualBlock,
}


def leaf_of(s: Any) -> nn.Module:
    """The leaf that a spec asks for."""
    return LEAVES[type(s)](s)
