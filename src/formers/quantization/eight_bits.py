"""Weights in 8 bits by row (Dettmers et al. 2022, arXiv:2208.07339), in bitsandbytes' files."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from formers.nn.kernels import int8_product, largest_of
from formers.quantization.packed import PackedLinear

_LARGEST = 127
_ROWS = 0  # what the files call a weight whose rows lie one after the other


class Linear8bit(PackedLinear):
    """A linear leaf with an int8 weight and one absolute maximum a row.

    Every row of the input is brought to 8 bits by itself, so that a result does not hang on its company.

    Args:
        in_features: width in.
        out_features: width out.
        bias: whether it has one.
        threshold: inputs of at least this size are multiplied in floating point; 0 for none.

    Attributes:
        weight: [out, in], int8.
        SCB: [out], float32, each row's absolute maximum.
    """

    _keep_float32 = ("SCB",)

    def __init__(self, in_features: int, out_features: int, bias: bool, threshold: float = 0.0) -> None:
        super().__init__(in_features, out_features, bias)
        self.threshold = threshold

    def take(self, weight: Tensor) -> None:
        """Pack a weight, [out, in]."""
        wide = weight.detach().float()
        largest = wide.abs().amax(1)
        scale = torch.where(largest > 0, _LARGEST / largest, 0.0)
        packed = (wide * scale[:, None]).round_().to(torch.int8)
        self.weight = nn.Parameter(packed, False)
        self._buffers["SCB"] = largest
        self._buffers["weight_format"] = torch.tensor(_ROWS, dtype=torch.uint8, device=largest.device)

    def expect(self, shape: Callable[[str], tuple[int, ...]], held: set[str]) -> None:
        """Make places for what files hold; see the base."""
        self.weight = nn.Parameter(torch.empty(shape("weight"), dtype=torch.int8, device="meta"), False)
        self._buffers["SCB"] = torch.empty(self.out_features, device="meta")
        if "weight_format" in held:
            self._buffers["weight_format"] = torch.empty((), dtype=torch.uint8, device="meta")
        else:
            self._buffers["weight_format"] = torch.tensor(_ROWS, dtype=torch.uint8)

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight, [out, in]."""
        scale = self._scale()
        return self.weight.float().mul_(scale[:, None]).to(dtype)

    def _scale(self) -> Tensor:
        largest = self._buffers["SCB"]
        assert largest is not None
        return largest / _LARGEST

    def product(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        scale, largest = self._scale(), largest_of(x)
        if not self.threshold or not bool((largest >= self.threshold).any()):
            return int8_product(x, self.weight, scale, largest)
        rows = (largest[:, 0] >= self.threshold).nonzero()[:, 0]
        some = x[rows]
        large = some.abs() >= self.threshold  # [few rows, in]
        columns = large.any(0).nonzero()[:, 0]
        apart = torch.where(large, some, 0.0)[:, columns]  # [few rows, few columns]
        wide = self.weight[:, columns].float() * scale[:, None]  # [out, few columns]
        rest = x.index_copy(0, rows, some.masked_fill(large, 0.0))
        found = int8_product(rest, self.weight, scale, largest_of(rest))
        return found.index_add_(0, rows, apart @ wide.to(x.dtype).t())

    def extra_repr(self) -> str:
        """Widths and threshold."""
        return f"{super().extra_repr()}, threshold={self.threshold}"
