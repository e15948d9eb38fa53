"""How formats of whole numbers lie in files: GPTQ, AWQ, compressed-tensors, HQQ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.quantization.groups import Grid, Groups

_AWQ = (0, 2, 4, 6, 1, 3, 5, 7)  # which of eight columns each half byte of a word holds, the lowest first


def _apart(x: Tensor, size: int) -> Tensor:
    """[.., n] -> [.., n / size, size]."""
    return x.reshape(*x.shape[:-1], -1, size)


def packed_bits(codes: Tensor, bits: int) -> Tensor:
    """[.., n] -> [.., n * bits / 32], int32: one stream of bits, the lowest first; n fills words."""
    if 32 % bits == 0:
        each = _apart(codes, 32 // bits).long()
        shifts = torch.arange(0, 32, bits, device=codes.device)
        words = (each << shifts).sum(-1)
    else:
        single = (codes.unsqueeze(-1) >> torch.arange(bits, device=codes.device).to(codes.dtype)) & 1
        each = _apart(single.flatten(-2), 32).long()
        words = (each << torch.arange(32, device=codes.device)).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


def unpacked_bits(words: Tensor, bits: int) -> Tensor:
    """[.., words], int32 -> [.., words * 32 / bits], uint8."""
    if 32 % bits == 0:
        shifts = torch.arange(0, 32, bits, device=words.device, dtype=torch.int32)
        return (words.unsqueeze(-1) >> shifts).bitwise_and_((1 << bits) - 1).to(torch.uint8).flatten(-2)
    single = (words.unsqueeze(-1) >> torch.arange(32, device=words.device, dtype=torch.int32)) & 1
    each = _apart(single.to(torch.uint8).flatten(-2), bits)
    return (each << torch.arange(bits, device=words.device, dtype=torch.uint8)).sum(-1, dtype=torch.uint8)


@dataclass(frozen=True)
class Gptq(Grid):
    """GPTQ's files: words along the input, zeros less one (in the first version), the group of each input."""

    second: bool = False
    codes = "qweight"
    needs: ClassVar[tuple[str, ...]] = ("qweight", "qzeros", "scales")
    dynamic = ""

    def quantized(self, weight: Tensor) -> Groups:
        """See `Layout`."""
        return self.nearest(weight)

    def pack(self, codes: Tensor) -> Tensor:
        """[out, in] -> [in * bits / 32, out]."""
        return packed_bits(codes, self.bits).t().contiguous()

    def unpack(self, packed: Tensor, out: int, read: int) -> Tensor:
        """The way back."""
        return unpacked_bits(packed.t().contiguous(), self.bits)

    def keep(self, groups: Groups) -> dict[str, Tensor]:
        """See `Layout`."""
        read = groups.codes.shape[1]
        zero = groups.zero if isinstance(groups.zero, Tensor) else torch.full_like(groups.scale, groups.zero)
        stored = zero.t().to(torch.int32) - (0 if self.second else 1)
        size = read if self.size < 0 else self.size
        order = torch.arange(read, device=zero.device) // size if groups.order is None else groups.order
        return {
            "qzeros": packed_bits(stored & ((1 << self.bits) - 1), self.bits),
            "scales": groups.scale.t().contiguous(),
            "g_idx": order.to(torch.int32),
        }

    def beside(self, held: Mapping[str, Tensor], out: int, read: int) -> tuple[Tensor, Any, Tensor | None]:
        """See `Layout`."""
        scale = held["scales"].t()
        zero = unpacked_bits(held["qzeros"], self.bits)[:, :out].t()
        if not self.second:
            zero = (zero + 1) & ((1 << self.bits) - 1)  # a zero of 0 went round
        return scale, zero.float(), self.ordered(held.get("g_idx"), read, scale.shape[1])


@dataclass(frozen=True)
class Awq(Grid):
    """AWQ's files in the "gemm" form: eight columns of the output to a word, in an order of their own."""

    codes = "qweight"
    needs: ClassVar[tuple[str, ...]] = ("qweight", "qzeros", "scales")
    dynamic = ""

    def quantized(self, weight: Tensor) -> Groups:
        """See `Layout`."""
        return self.nearest(weight)

    def _pack(self, codes: Tensor) -> Tensor:
        return packed_bits(_apart(codes.t(), 8)[..., list(_AWQ)].flatten(-2), 4)

    def _unpack(self, packed: Tensor) -> Tensor:
        back = [_AWQ.index(i) for i in range(8)]
        return _apart(unpacked_bits(packed, 4), 8)[..., back].flatten(-2).t().contiguous()

    def pack(self, codes: Tensor) -> Tensor:
        """[out, in] -> [in, out / 8]."""
        return self._pack(codes)

    def unpack(self, packed: Tensor, out: int, read: int) -> Tensor:
        """The way back."""
        return self._unpack(packed)

    def keep(self, groups: Groups) -> dict[str, Tensor]:
        """See `Layout`."""
        assert isinstance(groups.zero, Tensor)
        return {"qzeros": self._pack(groups.zero.to(torch.uint8)), "scales": groups.scale.t().contiguous()}

    def beside(self, held: Mapping[str, Tensor], out: int, read: int) -> tuple[Tensor, Any, Tensor | None]:
        """See `Layout`."""
        scale = held["scales"].t()
        return scale, self._unpack(held["qzeros"]).float(), self.ordered(None, read, scale.shape[1])


@dataclass(frozen=True)
class Compressed(Grid):
    """compressed-tensors' whole numbers: int8, or words along the input with the middle added."""

    packs: bool = False
    dynamic: str = ""

    @property
    def codes(self) -> str:
        """See `Layout`."""
        return "weight_packed" if self.packs else "weight"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `Layout`."""
        return self.codes, "weight_scale", *(() if self.symmetric else ("weight_zero_point",))

    def quantized(self, weight: Tensor) -> Groups:
        """See `Layout`."""
        found = self.nearest(weight, torch.float32)
        if self.packs:
            return found
        return Groups(_signed(found.codes, self.middle), found.scale, found.zero - self.middle)

    def pack(self, codes: Tensor) -> Tensor:
        """[out, in] -> the same, or [out, words]."""
        if not self.packs:
            return codes
        return packed_bits(F.pad(codes, (0, -codes.shape[1] % (32 // self.bits))), self.bits)

    def unpack(self, packed: Tensor, out: int, read: int) -> Tensor:
        """The way back."""
        return unpacked_bits(packed, self.bits)[:, :read].contiguous() if self.packs else packed

    def keep(self, groups: Groups) -> dict[str, Tensor]:
        """See `Layout`."""
        found = {"weight_scale": groups.scale}
        if self.packs:
            found["weight_shape"] = torch.tensor(groups.codes.shape)
        if not self.symmetric:
            assert isinstance(groups.zero, Tensor)
            zero = groups.zero.to(torch.uint8 if self.packs else torch.int8)
            found["weight_zero_point"] = (
                packed_bits(zero.t(), self.bits).t().contiguous() if self.packs else zero
            )
        return found

    def beside(self, held: Mapping[str, Tensor], out: int, read: int) -> tuple[Tensor, Any, Tensor | None]:
        """See `Layout`."""
        scale = held["weight_scale"]
        scale = scale.expand(out, 1) if scale.numel() == 1 else scale.view(out, -1)
        zero: Tensor | float = self.middle if self.packs else 0
        if not self.symmetric:
            kept = held["weight_zero_point"]
            zero = unpacked_bits(kept.t().contiguous(), self.bits)[:, :out].t() if self.packs else kept
            zero = zero.float().expand(scale.shape)
        return scale, zero, self.ordered(held.get("weight_g_idx"), read, scale.shape[1])


def _signed(codes: Tensor, middle: int) -> Tensor:
    return (codes.to(torch.int16) - middle).to(torch.int8)


@dataclass(frozen=True)
class Hqq(Grid):
    """HQQ's files: groups as rows (axis 1) or columns (axis 0), the first of them in the highest bits."""

    axis: int = 1
    codes = "W_q"
    needs: ClassVar[tuple[str, ...]] = ("W_q", "scale", "zero")
    dynamic = ""

    def quantized(self, weight: Tensor) -> Groups:
        """Half-quadratic quantization: zeros by 20 steps of a robust fit (Badri and Shaji 2023)."""
        out, read = weight.shape
        size = read if self.size < 0 else self.size
        w = weight.detach().float().reshape(-1, size)
        w = w if self.axis else weight.detach().float().reshape(size, -1).t()
        most, low = (1 << self.bits) - 1, w.amin(1, keepdim=True)
        step = ((w.amax(1, keepdim=True) - low) / most).clamp(min=5e-6)
        zero, beta = -low / step, 10.0
        for _ in range(20):
            codes = (w / step + zero).round_().clamp_(0, most)
            off = w - (codes - zero) * step
            far = off.abs() - off.abs().clamp(min=1e-8).pow(-0.3) / beta
            zero = (codes - (w - off.sign() * far.clamp(min=0)) / step).mean(1, keepdim=True)
            beta *= 1.01
        codes = (w / step + zero).round_().clamp_(0, most).to(torch.uint8)
        return self._rows(codes if self.axis else codes.t(), step.half(), zero.half(), out, read)

    def _rows(self, codes: Tensor, scale: Tensor, zero: Tensor, out: int, read: int) -> Groups:
        if self.axis:
            return Groups(codes.reshape(out, read), scale.view(out, -1), zero.view(out, -1))
        size = codes.shape[0]
        each = [value.reshape(out // size, read).repeat(size, 1) for value in (scale, zero)]
        return Groups(codes.reshape(out, read), *each)

    def pack(self, codes: Tensor) -> Tensor:
        """[out, in] -> rows of several groups in one."""
        size = codes.shape[1] if self.size < 0 else self.size
        rows = codes.reshape(-1, size) if self.axis else codes.reshape(size, -1)
        if self.bits == 8:
            return rows
        each, kind = (10, torch.int32) if self.bits == 3 else (8 // self.bits, torch.uint8)
        rows = F.pad(rows, (0, 0, 0, -len(rows) % each))
        found = torch.zeros(len(rows) // each, rows.shape[1], dtype=kind)
        for i, part in enumerate(rows.to(kind).chunk(each)):
            found |= part << self.bits * (each - 1 - i)
        return found

    def unpack(self, packed: Tensor, out: int, read: int) -> Tensor:
        """The way back."""
        if self.bits == 8:
            return packed.view(out, read)
        each = 10 if self.bits == 3 else 8 // self.bits
        parts = [(packed >> self.bits * (each - 1 - i)) & ((1 << self.bits) - 1) for i in range(each)]
        rows = torch.cat(parts).to(torch.uint8)
        return rows.flatten()[: out * read].view(out, read)

    def keep(self, groups: Groups) -> dict[str, Tensor]:
        """See `Layout`."""
        assert isinstance(groups.zero, Tensor)
        scale, zero = groups.scale, groups.zero
        if self.axis:
            return {"scale": scale.reshape(-1, 1), "zero": zero.reshape(-1, 1)}
        rows = groups.codes.shape[0] // self.size
        return {"scale": scale[:rows].reshape(1, -1), "zero": zero[:rows].reshape(1, -1)}

    def beside(self, held: Mapping[str, Tensor], out: int, read: int) -> tuple[Tensor, Any, Tensor | None]:
        """See `Layout`."""
        if self.axis:
            return held["scale"].view(out, -1), held["zero"].view(out, -1).float(), None
        size = self.size
        scale, zero = (held[name].reshape(out // size, read).repeat(size, 1) for name in ("scale", "zero"))
        return scale, zero.float(), None
