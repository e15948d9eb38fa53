"""Weights as floats in 8 bits with a scale for each block, row, or all of them; multiplied dequantized."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.kernels import plain_product
from formers.quantization.packed import PackedLinear

_KIND = torch.float8_e4m3fn


class FloatLinear(PackedLinear):
    """A linear leaf in e4m3.

    Args:
        in_features: width in.
        out_features: width out.
        bias: whether it has one.
        scale: the name of the scales in files; a weight is what is stored times its scale.
        block: rows and columns that share one, -1 for all.
    """

    keeps_stored = True

    def __init__(
        self, in_features: int, out_features: int, bias: bool, scale: str, block: tuple[int, int]
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.scale = scale
        widths = (out_features, in_features)
        self.block = tuple(whole if size < 0 else size for size, whole in zip(block, widths, strict=True))

    def take(self, weight: Tensor) -> None:
        """Pack a weight, [out, in]."""
        wide, (rows, columns) = weight.detach().float(), self.block
        out, read = wide.shape
        padded = F.pad(wide, (0, -read % columns, 0, -out % rows))
        largest = padded.view(padded.shape[0] // rows, rows, -1, columns).abs().amax((1, 3))
        scale = torch.where(largest > 0, largest / torch.finfo(_KIND).max, 1.0)
        self.weight = nn.Parameter((wide / self._each(scale)).to(_KIND), False)
        self._buffers[self.scale] = scale

    def expect(self, shape: Callable[[str], tuple[int, ...]], held: set[str]) -> None:
        """Make places for what files hold; see the base."""
        self.refuse_lacking(held, ("weight", self.scale))
        self.weight = nn.Parameter(torch.empty(shape("weight"), dtype=_KIND, device="meta"), False)
        for name in sorted(held - {"weight", "bias"}):
            self._buffers[name] = torch.empty(shape(name), device="meta")

    def _each(self, scale: Tensor) -> Tensor:
        """What each number is multiplied by; broadcasts to [out, in]."""
        if scale.numel() == 1:
            return scale.float().view(1, 1)
        each = scale.float().view(scale.shape[0], -1)
        for dim, (size, whole) in enumerate(
            zip(self.block, (self.out_features, self.in_features), strict=True)
        ):
            if each.shape[dim] > 1:
                each = each.repeat_interleave(size, dim).narrow(dim, 0, whole)
        return each

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight, [out, in]."""
        scale = self._buffers[self.scale]
        assert scale is not None
        return (self.weight.float() * self._each(scale)).to(dtype)

    def product(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        return plain_product(x, self.dequantized(x.dtype), None)
