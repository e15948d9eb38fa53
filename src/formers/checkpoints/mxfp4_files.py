"""Files in MXFP4 (Open Compute Project 2023): 4-bit floats, 32 to a power of two; read dequantised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from formers.checkpoints.failures import CheckpointError
from formers.checkpoints.files import TensorFiles
from formers.checkpoints.weight_file import WeightFile

_CODES, _POWERS = "_blocks", "_scales"
_HALF = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_VALUES = (*_HALF, *(-value for value in _HALF))
_BIAS = 127  # of an exponent


class Mxfp4Files(TensorFiles):
    """Pairs of `NAME_blocks` and `NAME_scales` are one bfloat16 tensor NAME, its last two axes exchanged.

    Codes are [experts, out, groups, bytes], the lower half of a byte first, and exponents [experts, out,
    groups]; the tensor is [experts, in, out]. bfloat16 holds every product exactly.

    Raises:
        CheckpointError: for codes without exponents, or of another shape.
    """

    def __init__(self, files: Sequence[WeightFile]) -> None:
        super().__init__(files)
        held = {*super().names()}
        self._pairs = {name.removesuffix(_CODES) for name in held if name.endswith(_CODES)}
        for name in sorted(self._pairs):
            if name + _POWERS not in held:
                raise CheckpointError(f"{name + _CODES} is in the files, and {name + _POWERS} is not")
            codes, powers = super().shape(name + _CODES), super().shape(name + _POWERS)
            if len(codes) != 4 or codes[:-1] != powers:
                raise CheckpointError(f"{name}: blocks of {list(codes)} and scales of {list(powers)}")

    def names(self) -> list[str]:
        """The names of all tensors."""
        parts = {name + part for name in self._pairs for part in (_CODES, _POWERS)}
        return [*(name for name in super().names() if name not in parts), *sorted(self._pairs)]

    def __contains__(self, name: object) -> bool:
        return name in self._pairs or super().__contains__(name)

    def place(self, name: str) -> tuple[int, int]:
        """Which file a tensor lies in, and where it begins there."""
        return super().place(name + _CODES if name in self._pairs else name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        if name not in self._pairs:
            return super().shape(name)
        experts, out, groups, size = super().shape(name + _CODES)
        return experts, groups * size * 2, out

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a tensor, without reading it."""
        return torch.bfloat16 if name in self._pairs else super().dtype(name)

    def tensor(self, name: str, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """See the base."""
        if name not in self._pairs:
            return super().tensor(name, dtype, device)
        codes, powers = super().tensor(name + _CODES), super().tensor(name + _POWERS)
        found = torch.empty(self.shape(name), dtype=dtype or torch.bfloat16, device=device)
        table = torch.tensor(_VALUES)
        for i, (each, power) in enumerate(zip(codes, powers, strict=True)):  # one expert in float32 at once
            values = table[torch.stack([each & 15, each >> 4], -1).flatten(2).int()]
            wide = torch.ldexp(values, power.int()[..., None] - _BIAS)
            found[i] = wide.flatten(1).t()
        return found
