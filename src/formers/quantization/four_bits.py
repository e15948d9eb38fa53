"""Weights in 4 bits by blocks (Dettmers et al. 2023, arXiv:2305.14314), in bitsandbytes' files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.quantization.packed import PackedLinear

BLOCK, OUTER = 64, 256  # numbers, and blocks, that share a maximum
# appendix E of the paper: quantiles of the normal distribution; then floats of 1 + 2 + 1 bits
# fmt: off
VALUES = {
    "nf4": (
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
        0.7229568362236023, 1.0,
    ),
    "fp4": tuple(
        sign * size / 12.0 for sign in (1, -1) for size in (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0)
    ),
}
# fmt: on


@lru_cache
def dynamic_values() -> tuple[float, ...]:
    """The 256 values of signed dynamic 8-bit numbers, ascending (Dettmers et al., arXiv:2110.02861, 2.2).

    For every one of seven exponents, the means of neighbours in a linear range from 0.1 to 1, both signs.
    """
    found = [0.0, 1.0]
    for exponent in range(7):
        ends = torch.linspace(0.1, 1.0, 2**exponent + 1, dtype=torch.float32)
        means = (ends[:-1] + ends[1:]) / 2 * 10.0 ** (exponent - 6)
        found += [*means.tolist(), *(-means).tolist()]
    return tuple(sorted(found))


def nearest(x: Tensor, values: Tensor) -> Tensor:
    """Which of the values is nearest to each number.

    Args:
        x: any shape, in [-1, 1].
        values: [n], in any order.

    Returns:
        Of the shape of `x`, uint8.
    """
    ordered, order = values.sort()
    middles = (ordered[:-1] + ordered[1:]) / 2
    return order[torch.bucketize(x, middles)].to(torch.uint8)


class Linear4bit(PackedLinear):
    """A linear leaf with two numbers of its weight in a byte, and a maximum for each block of 64.

    Args:
        in_features: width in.
        out_features: width out.
        bias: whether it has one.
        kind: "nf4" or "fp4".
        nested: whether the maxima are in 8 bits too.
        compute_dtype: in which the product is taken; None for that of the input.

    Attributes:
        weight: [out * in / 2, 1], uint8; the first of two numbers in the high half.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        kind: str = "fp4",
        nested: bool = False,
        compute_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.kind, self.nested, self.compute_dtype = kind, nested, compute_dtype

    @property
    def _keep_float32(self) -> tuple[str, ...]:  # type: ignore[override]  # what there is
        return tuple(
            name for name, held in self._buffers.items() if held is not None and held.is_floating_point()
        )

    @property
    def _state_name(self) -> str:
        return f"weight.quant_state.bitsandbytes__{self.kind}"

    def take(self, weight: Tensor) -> None:
        """Pack a weight, [out, in]."""
        values = torch.tensor(VALUES[self.kind], device=weight.device)
        flat = weight.detach().float().flatten()
        blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)  # [blocks, 64]
        largest = blocks.abs().amax(1)  # [blocks]
        scaled = torch.where(largest[:, None] > 0, blocks / largest[:, None], 0.0)
        codes = nearest(scaled, values).flatten()[: len(flat)]
        codes = F.pad(codes, (0, len(codes) % 2))
        self.weight = nn.Parameter((codes[0::2] << 4 | codes[1::2])[:, None], False)
        said: dict[str, Any] = {
            "quant_type": self.kind,
            "blocksize": BLOCK,
            "dtype": str(weight.dtype).removeprefix("torch."),
            "shape": [self.out_features, self.in_features],
        }
        self._buffers["weight.quant_map"] = values
        if self.nested:
            offset = largest.mean()
            apart = largest - offset
            padded = F.pad(apart, (0, -len(apart) % OUTER)).view(-1, OUTER)  # [outer, 256]
            outer = padded.abs().amax(1)
            table = torch.tensor(dynamic_values(), device=weight.device)
            inside = torch.where(outer[:, None] > 0, padded / outer[:, None], 0.0)
            largest = nearest(inside, table).flatten()[: len(apart)]
            self._buffers |= {"weight.nested_absmax": outer, "weight.nested_quant_map": table}
            said |= {"nested_blocksize": OUTER, "nested_dtype": "float32", "nested_offset": offset.item()}
        self._buffers["weight.absmax"] = largest
        self._buffers[self._state_name] = torch.tensor([*json.dumps(said).encode()], dtype=torch.uint8)

    def expect(self, shape: Callable[[str], tuple[int, ...]], held: set[str]) -> None:
        """Make places for what files hold; see the base."""
        self.kind = next(name.rpartition("__")[2] for name in held if ".quant_state." in name)
        self.nested = "weight.nested_absmax" in held
        self.weight = nn.Parameter(torch.empty(shape("weight"), dtype=torch.uint8, device="meta"), False)
        for name in sorted(held - {"weight", "bias"}):
            bytes_ = name == self._state_name or (self.nested and name == "weight.absmax")
            dtype = torch.uint8 if bytes_ else torch.float32
            self._buffers[name] = torch.empty(shape(name), dtype=dtype, device="meta")

    def _said(self) -> dict[str, Any]:
        state = self._buffers[self._state_name]
        assert state is not None
        found: dict[str, Any] = json.loads(bytes(state.tolist()))
        return found

    def dequantized(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight, [out, in]."""
        held, said = self._buffers, self._said()
        values, largest = held["weight.quant_map"], held["weight.absmax"]
        assert values is not None
        assert largest is not None
        if self.nested:
            outer, table = held["weight.nested_absmax"], held["weight.nested_quant_map"]
            assert outer is not None
            assert table is not None
            each = outer.repeat_interleave(said["nested_blocksize"])[: len(largest)]
            largest = table[largest.int()] * each + said["nested_offset"]
        # a byte is looked up whole: [256, 2]
        pairs = torch.stack([values.repeat_interleave(16), values.repeat(16)], 1)
        count = self.out_features * self.in_features
        flat = pairs.index_select(0, self.weight.flatten().int()).flatten()[:count]
        block = said["blocksize"]
        if count % block == 0:
            scaled = flat.view(-1, block).mul_(largest[:, None])
        else:
            scaled = flat * largest.repeat_interleave(block)[:count]
        return scaled.view(self.out_features, self.in_features).to(dtype)

    def product(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        dtype = self.compute_dtype or x.dtype
        return F.linear(x.to(dtype), self.dequantized(dtype)).to(x.dtype)

    def extra_repr(self) -> str:
        """Widths and kind."""
        return f"{super().extra_repr()}, kind={self.kind}"
