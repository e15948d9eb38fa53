"""Leaves that compute in integers (Kim et al. 2021, arXiv:2101.01321), and those that may be told to.

A value is an integer times its scale, which goes beside it. Tensors stay floating, as the paper's own code
simulates integers; every one of them is whole. Gradients pass roundings as if there were none. What files
keep beside weights (integers, scales, ranges) stands in buffers of the ecosystem's names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.fresh import Constant, begins

Scaled = tuple[Tensor, "Tensor | None"]  # a value, and what one of its steps is worth; None where it has none
_START = 1e-5  # ranges that nothing was seen of
_KEPT = 0.95  # share of a range that a step in training keeps


class _Straight(torch.autograd.Function):
    """What was made of `x`, with the gradient of `x / scale`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, made: Tensor, scale: Tensor | None) -> Tensor:
        """`made`."""
        ctx.scale = scale
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """For `x` alone."""
        return grads[0] if ctx.scale is None else grads[0] / ctx.scale, None, None


def _straight(x: Tensor, made: Tensor, scale: Tensor | None = None) -> Tensor:
    found: Tensor = _Straight.apply(x, made, scale)  # type: ignore[no-untyped-call]  # torch does not type it
    return found


def _floor(x: Tensor) -> Tensor:
    return _straight(x, x.detach().floor())


def _step(bits: int, least: Tensor, most: Tensor) -> Tensor:
    """What a step is worth where so many bits reach from `least` to `most`, on both sides of zero alike."""
    last: int = 2 ** (bits - 1) - 1
    return torch.maximum(least.detach().abs(), most.detach().abs()).clamp(min=1e-8) / last


def _whole(x: Tensor, bits: int, scale: Tensor) -> Tensor:
    """How many steps make `x`, of the same shape; `scale` broadcasts to it."""
    last = 2 ** (bits - 1) - 1
    return _straight(x, torch.round(1.0 / scale * x.detach()).clamp(-last, last - 1), scale)


def _rescaled(x: Tensor, scale: Tensor, to: Tensor) -> Tensor:
    """Steps of one scale as steps of another, by a 31-bit product and a shift. float64."""
    ratio = scale.detach().double() / to.float().double()
    mantissa, exponent = torch.frexp(ratio)
    factor = torch.sign(mantissa) * torch.floor(mantissa.abs() * 2.0**31 + 0.5)
    steps = torch.round(x.detach() / scale.detach()).double()
    return torch.round(steps * factor / 2.0 ** (31 - exponent.double()))


def beside(module: nn.Module, **values: Tensor) -> Any:
    """The module, with buffers that hold so much at first."""
    for name, value in values.items():
        module.register_buffer(name, value)
        begins(module, **{name: Constant(float(value.flatten()[0]) if not value.is_meta else 0.0)})
    return module


class Requantise(nn.Module):
    """Round to `bits`, by a range that training follows; if not `whole`, follow it alone."""

    row_wise = True
    x_min: Tensor
    x_max: Tensor
    act_scaling_factor: Tensor

    def __init__(self, bits: int, whole: bool) -> None:
        super().__init__()
        self.bits, self.whole = bits, whole
        beside(self, x_min=torch.zeros(1), x_max=torch.zeros(1), act_scaling_factor=torch.zeros(1))
        with torch.no_grad():
            self.x_min.fill_(-_START), self.x_max.fill_(_START)
        begins(self, x_min=Constant(-_START), x_max=Constant(_START))

    def forward(
        self,
        x: Tensor,
        scale: Tensor | None = None,
        other: Tensor | None = None,
        other_scale: Tensor | None = None,
    ) -> Scaled:
        """`x`, or its sum with another value, [.., E], by a scale of its own [1]."""
        total = x if other is None else other + x
        if self.training:
            self._follow(total)
        if not self.whole:
            return total, None
        self.act_scaling_factor = own = _step(self.bits, self.x_min, self.x_max)
        if scale is None:  # what comes in is no integer
            return _whole(x if other is None else total, self.bits, own) * own, own
        last = 2 ** (self.bits - 1) - 1
        steps = _rescaled(x, scale, own)
        if other is not None:
            assert other_scale is not None
            steps = steps + _rescaled(other, other_scale, own)
        return _straight(total, steps.to(x.dtype).clamp(-last - 1, last), own) * own, own

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """Let the range follow a batch.

        Raises:
            ValueError: where there are values that are no numbers.
        """
        least, most = x.detach().aminmax()
        if bool(least.isnan()):
            raise ValueError("some values are not numbers (NaN), and the range of the others would be lost")
        if bool(self.x_min.min() > -1.1 * _START) and bool(self.x_max.max() < 1.1 * _START):
            self.x_min, self.x_max = self.x_min + least, self.x_max + most
        else:
            self.x_min = self.x_min * _KEPT + least * (1 - _KEPT)
            self.x_max = self.x_max * _KEPT + most * (1 - _KEPT)


class IntegerLinear(nn.Linear):
    """A linear leaf whose weights have 8 bits, each row by a scale of its own, and its bias 32."""

    row_wise = True

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Scaled:  # type: ignore[override]  # a pair
        """[.., in] by a scale [1] -> [.., out] by a scale [out]."""
        if scale is None:
            raise ValueError(
                "a leaf that counts in integers reads what its model has rounded: call the model, not a part"
            )
        own = _step(8, self.weight.amin(1), self.weight.amax(1))  # [out]
        weight, each = _whole(self.weight, 8, own[:, None]), own * scale
        bias = _whole(self.bias, 32, each)
        self.weight_integer, self.fc_scaling_factor, self.bias_integer = weight.detach(), own, bias.detach()
        return nn.functional.linear(x / scale, weight, bias) * each, each


class IntegerTable(nn.Embedding):
    """A table whose numbers have 8 bits."""

    row_wise = True

    def forward(self, ids: Tensor) -> Scaled:  # type: ignore[override]  # a pair
        """[..] -> [.., E] by a scale [1]."""
        own = _step(8, self.weight.min().view(1), self.weight.max().view(1))
        whole = _whole(self.weight, 8, own)
        self.weight_integer, self.weight_scaling_factor = whole.detach(), own
        return nn.functional.embedding(ids, whole, self.padding_idx) * own, own


class IntegerGelu(nn.Module):
    """A GELU by a polynomial (section 3.4)."""

    row_wise = True

    def forward(self, x: Tensor, scale: Tensor) -> Scaled:
        """[.., F] by a scale [F], both the same shapes afterwards."""
        steps, narrow = x / scale, scale / 1.4142
        b = torch.floor(-1.769 / narrow)
        c = torch.floor(1 / -0.2888 / narrow**2)
        most = torch.min(steps.abs(), -b)
        error = _floor(steps.sign() * ((most + b) ** 2 + c) / 2**14)
        error_scale = narrow**2 * -0.2888 * 2**14
        made = scale * error_scale / 2
        return steps * (error + 1.0 // error_scale) * made, made


class IntegerSoftmax(nn.Module):
    """A softmax by a polynomial and shifts (section 3.5); a plain one if not `whole`."""

    row_wise = True

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.whole, self.act = whole, Requantise(16, whole)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Scaled:
        """[.., S] by a scale [1] -> shares of one, in 8 bits."""
        if not self.whole or scale is None:
            return x.softmax(-1), None
        steps = x / scale
        steps = steps - steps.amax(-1, keepdim=True)
        zero = torch.floor(-0.6931 / scale.detach())
        steps = torch.max(steps, 30 * zero)
        shift = _floor(steps / zero)
        rest, a = steps - zero * shift, 0.35815147
        b = torch.floor(0.96963238 / a / scale.detach())
        c = torch.floor(1.0 / a / scale.detach() ** 2)
        power = _floor(((rest + b) * rest + c) * 2 ** (30 - shift)).clamp(min=0)
        rounded, own = self.act(power, a * scale**2 / 2**30)
        power = rounded / own
        factor = _floor(2**32 / power.sum(-1, keepdim=True))
        share = 1 / 2**8
        return _floor(power * factor / 2**24) * share, scale.new_full((1,), share)


class IntegerNorm(nn.LayerNorm):
    """A layer norm whose root and mean are integers (section 3.6)."""

    row_wise = True
    shift: Tensor

    def forward(self, x: Tensor, scale: Tensor) -> Scaled:  # type: ignore[override]  # a pair
        """[.., E] by a scale [1] -> [.., E] by a scale [E].

        Raises:
            ValueError: in training, where the sum of squares does not fit into 32 bits after all shifts.
        """
        steps = x / scale
        mean = steps.mean(-1, keepdim=True)
        steps = steps - _straight(mean, mean.detach().round())
        total = _floor(steps / 2**self.shift).square().sum(-1, keepdim=True)
        if self.training and bool(total.max() >= 2**32):
            with torch.no_grad():
                wanted = torch.log2((steps.square().sum(-1) / 2**32).sqrt()).ceil().max()
                self.shift = torch.maximum(self.shift, wanted)
            total = _floor(steps / 2**self.shift).square().sum(-1, keepdim=True)
            if bool(total.max() >= 2**32 + 0.1):
                raise ValueError("values differ so much that their variance does not fit into 32 bits")
        root = _floor(total.sqrt()) * 2**self.shift
        steps = _floor(steps * _floor(2**31 / root) / 2)
        own = torch.tensor(x.shape[-1], dtype=torch.float32, device=x.device).sqrt() / 2**30
        moved = self.bias.detach() / self.weight.detach()
        each = own * self.weight
        return (steps + torch.floor(moved / own)) * each, each


def integer_linear(width_in: int, width_out: int, whole: bool) -> nn.Module:
    """A linear leaf with its integers beside."""
    made = (IntegerLinear if whole else nn.Linear)(width_in, width_out)
    held = {"weight_integer": torch.zeros_like(made.weight), "bias_integer": torch.zeros(width_out)}
    found: nn.Module = beside(made, fc_scaling_factor=torch.zeros(width_out), **_detached(held))
    return found


def integer_table(count: int, width: int, padding_idx: int | None, whole: bool) -> nn.Module:
    """A table with its integers beside."""
    made = (IntegerTable if whole else nn.Embedding)(count, width, padding_idx=padding_idx)
    held = {"weight_integer": torch.zeros_like(made.weight)}
    found: nn.Module = beside(made, weight_scaling_factor=torch.zeros(1), **_detached(held))
    return found


def integer_norm(width: int, eps: float, whole: bool) -> nn.Module:
    """A layer norm with its shift, and with a range that nothing reads."""
    made: nn.Module = beside((IntegerNorm if whole else nn.LayerNorm)(width, eps=eps), shift=torch.zeros(1))
    made.add_module("activation", Requantise(32, whole))
    return made


def _detached(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in values.items()}
