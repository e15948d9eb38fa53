"""Products with weights in few bits on a CPU, through the operators of torch that were measured fastest.

Each is made from the plain codes of a weight, keeps them in the order in which its operator reads them, and
gives them back. `of` a weight is None where the operator is missing, or slower than a dequantized weight.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from formers.core.devices import cpu_has

_BLOCK = 64  # rows of a weight that the 4-bit operator reads side by side
GROUPS = (32, 64, 128, 256)  # numbers that may share a scale there


@cache
def _vector_int8() -> bool:
    """Whether bytes are multiplied without saturating; unknown counts as no."""
    there = hasattr(torch, "_make_per_channel_quantized_tensor") and hasattr(
        torch.ops.quantized, "linear_dynamic"
    )
    engines = torch.backends.quantized.supported_engines if there else ()
    return "fbgemm" in engines and cpu_has("avx512_vnni", known=True)


@cache
def _by_64() -> bool:
    """Whether the 4-bit operator is there, vectorised, and lies as it is read and written here."""
    try:
        if torch.backends.cpu.get_cpu_capability() != "AVX512":
            return False
        probe = torch.arange(_BLOCK * 2, dtype=torch.uint8).view(_BLOCK, 2) % 16
        found = torch.ops.aten._convert_weight_to_int4pack_for_cpu(probe.int(), 1)
    except (AttributeError, RuntimeError):
        return False  # a torch build without the operator
    return torch.equal(found.flatten(), _interleaved(probe).flatten())


def _interleaved(codes: Tensor) -> Tensor:
    """[out, in] -> [out, in / 2]: for 64 rows, column by column, row i low and row i + 32 high."""
    first, second = codes.view(-1, 2, _BLOCK // 2, codes.shape[1]).unbind(1)
    return (first | second << 4).transpose(1, 2).contiguous().view(codes.shape[0], -1)


class DynamicInt8:
    """A weight in int8 by row; inputs are brought to 8 bits together, by their least and largest."""

    most = None

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        zeros = torch.zeros(len(scale), dtype=torch.long)
        before = torch.backends.quantized.engine
        self._bytes = codes.nbytes + 16 * len(scale)  # with a float64 scale, and sums of rows
        torch.backends.quantized.engine = "fbgemm"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that quantized tensors will go one day
                weight = torch._make_per_channel_quantized_tensor(codes, scale.double(), zeros, 0)
            self._packed = torch.ops.quantized.linear_prepack(weight, None)
        finally:
            torch.backends.quantized.engine = before

    @classmethod
    def of(cls, codes: Tensor, scale: Tensor) -> DynamicInt8 | None:
        """From [out, in], int8, and [out]."""
        return cls(codes, scale) if codes.device.type == "cpu" and _vector_int8() else None

    @property
    def nbytes(self) -> int:
        """About what it holds."""
        return self._bytes

    def codes(self) -> Tensor:
        """[out, in], int8."""
        found: Tensor = self._packed.unpack()[0].int_repr()
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out], float32."""
        found: Tensor = torch.ops.quantized.linear_dynamic(x.float(), self._packed)
        return found


class Int4:
    """A weight in 4 bits by groups along its rows; inputs are read in bfloat16.

    Attributes:
        most: rows of an input up to which it wins over a dequantized weight.
    """

    most = 32

    def __init__(self, codes: Tensor, scale: Tensor, zero: Tensor | float) -> None:
        self._packed = _interleaved(codes)
        self.size = codes.shape[1] // scale.shape[1]
        pair = torch.stack([scale, (8 - zero) * scale], -1)  # the operator takes 8 from a code first
        self._scales = pair.transpose(0, 1).to(torch.bfloat16).contiguous()  # [groups, out, 2]

    @classmethod
    def of(cls, codes: Tensor, scale: Tensor, zero: Tensor | float) -> Int4 | None:
        """From [out, in], uint8 below 16, and [out, groups] each: a weight is (code - zero) * scale."""
        out, read = codes.shape
        fits = out % _BLOCK == 0 and read % scale.shape[1] == 0 and read // scale.shape[1] in GROUPS
        return cls(codes, scale, zero) if fits and codes.device.type == "cpu" and _by_64() else None

    @property
    def nbytes(self) -> int:
        """What it holds."""
        return self._packed.nbytes + self._scales.nbytes

    def scales(self) -> Tensor:
        """[out, groups], bfloat16."""
        return self._scales[..., 0].t().contiguous()

    def codes(self) -> Tensor:
        """[out, in], uint8."""
        each = self._packed.view(-1, self._packed.shape[1] * 2, _BLOCK // 2)
        both = torch.stack([each & 15, each >> 4], 1)  # [out / 64, 2, in, 32]
        return both.transpose(2, 3).reshape(self._packed.shape[0], -1)

    def __call__(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out], float32."""
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.to(torch.bfloat16), self._packed, self.size, self._scales
        )
        return found.float()


class Int8:
    """A weight in int8 by row; inputs are read in bfloat16. See `Int4`."""

    most = 8

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        self._codes, self._scale = codes, scale.to(torch.bfloat16)

    @classmethod
    def of(cls, codes: Tensor, scale: Tensor) -> Int8 | None:
        """From [out, in], int8, and [out]."""
        fits = codes.shape[0] % 16 == 0 and codes.shape[1] % 32 == 0
        return cls(codes, scale) if fits and codes.device.type == "cpu" and _by_64() else None

    @property
    def nbytes(self) -> int:
        """What it holds."""
        return self._codes.nbytes + self._scale.nbytes

    def codes(self) -> Tensor:
        """[out, in], int8."""
        return self._codes

    def __call__(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out], float32."""
        return torch._weight_int8pack_mm(x.to(torch.bfloat16), self._codes, self._scale).float()
