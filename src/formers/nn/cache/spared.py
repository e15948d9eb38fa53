"""Slots that spare the memory of the device: keys and values in few bits, or elsewhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from formers.nn.cache.slots import Growing, Slot, Static

BITS = (2, 4, 8)


class Quantized(Slot):
    """Older keys and values in few bits, the newest as they are (KIVI, Liu et al. 2024, arXiv:2402.02750).

    Whole blocks of `residual` tokens are quantized, each once, and stay so; what does not fill a block is
    kept as it came. In a group of numbers with minimum z and maximum m, x becomes round((x - z) / s) with
    s = (m - z) / (2^bits - 1), and is read as code * s + z. A group is `group` tokens of one channel (axis
    0), or `group` channels of one token (axis -1); smaller where that does not divide.

    Args:
        bits: 2, 4 or 8.
        axis_key, axis_value: which groups keys and values have; the paper's are 0 and -1.
        group: numbers that share z and s.
        residual: tokens of a block.
    """

    def __init__(
        self, bits: int = 4, axis_key: int = 0, axis_value: int = -1, group: int = 64, residual: int = 128
    ) -> None:
        if bits not in BITS:
            raise ValueError(f"nbits is one of {', '.join(map(str, BITS))}, not {bits!r}")
        for name, axis in (("axis_key", axis_key), ("axis_value", axis_value)):
            if axis not in (0, 1, -1):
                raise ValueError(
                    f"{name} is 0 (groups of tokens) or -1 or 1 (groups of channels), not {axis!r}"
                )
        if residual < 1 or residual % (8 // bits) or group < 1:
            raise ValueError(
                f"residual_length is a multiple of {8 // bits} and q_group_size at least 1, not {residual} "
                f"and {group}"
            )
        self.bits, self.group, self.residual = bits, group, residual
        self.by_tokens = [axis_key == 0, axis_value == 0]
        self.length = self.packed = 0  # tokens in all, and those of whole blocks
        self.keys: Tensor | None = None  # [B, G, length - packed, D]
        self.values: Tensor | None = None
        self.key_codes: Tensor | None = None  # [B, G, packed * bits / 8, D], uint8
        self.key_scales: Tensor | None = None  # s and z, [2, B, G, .., ..]
        self.value_codes: Tensor | None = None
        self.value_scales: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append; what is new is returned as it came."""
        held = self.contents()
        if held is not None:
            keys, values = torch.cat((held[0], keys), 2), torch.cat((held[1], values), 2)  # [B, G, S, D]
        before, self.length = self.packed, keys.shape[2]
        self.packed = self.length - self.length % self.residual
        for i, (name, whole) in enumerate((("key", keys), ("value", values))):
            setattr(self, f"{name}s", whole[:, :, self.packed :].clone())
            if self.packed > before:
                codes, scales = self._pack(whole[:, :, before : self.packed].detach(), self.by_tokens[i])
                self._append(f"{name}_codes", codes, 2)
                self._append(f"{name}_scales", scales, 3)
        return keys, values, 0

    def _append(self, name: str, new: Tensor, axis: int) -> None:
        held = getattr(self, name)
        setattr(self, name, new if held is None else torch.cat((held, new), axis))

    def contents(self) -> tuple[Tensor, Tensor] | None:
        """[B, G, S, D] each, read back."""
        if self.keys is None or self.values is None:
            return None
        if self.key_codes is None or self.value_codes is None:
            return self.keys, self.values
        assert self.key_scales is not None
        assert self.value_scales is not None
        keys = self._unpack(self.key_codes, self.key_scales, self.by_tokens[0])
        values = self._unpack(self.value_codes, self.value_scales, self.by_tokens[1])
        return torch.cat((keys, self.keys), 2), torch.cat((values, self.values), 2)

    def _grouped(self, x: Tensor, by_tokens: bool) -> tuple[Tensor, int]:
        """Numbers [B, G, n, D] in groups, and the axis of a group."""
        batch, heads, count, width = x.shape
        if by_tokens:
            return x.reshape(batch, heads, -1, math.gcd(self.residual, self.group), width), 3
        return x.reshape(batch, heads, count, -1, math.gcd(width, self.group)), 4

    def _pack(self, x: Tensor, by_tokens: bool) -> tuple[Tensor, Tensor]:
        """Whole blocks [B, G, n, D] -> codes, tokens that follow each other in one byte; s and z."""
        groups, axis = self._grouped(x.float(), by_tokens)
        low, high = groups.aminmax(dim=axis, keepdim=True)
        scales = torch.stack(((high - low) / (2**self.bits - 1), low)).to(x.dtype)
        scale, zero = scales.float()
        scale = torch.where(scale > 0, scale, 1.0)  # all numbers of the group are one
        codes = ((groups - zero) / scale).round_().clamp_(0, 2**self.bits - 1).to(torch.uint8)
        each = codes.reshape(*x.shape[:2], -1, 8 // self.bits, x.shape[3])
        packed = each[:, :, :, 0].clone()
        for i in range(1, 8 // self.bits):
            packed |= each[:, :, :, i] << (i * self.bits)
        return packed, scales.squeeze(axis + 1)

    def _unpack(self, packed: Tensor, scales: Tensor, by_tokens: bool) -> Tensor:
        """The numbers, in the dtype of the scales."""
        parts = [(packed >> shift) & (2**self.bits - 1) for shift in range(0, 8, self.bits)]
        groups, axis = self._grouped(torch.stack(parts, dim=3).flatten(2, 3).to(scales.dtype), by_tokens)
        scale, zero = scales.unsqueeze(axis + 1)
        return torch.addcmul(zero, groups, scale).flatten(axis - 1, axis)

    def reorder(self, rows: Tensor) -> None:
        """Keep the given batch rows; nothing is quantized anew."""
        for name, axis in (("codes", 0), ("scales", 1)):
            for part in ("key", "value"):
                self._choose(f"{part}_{name}", axis, rows)
        self._choose("keys", 0, rows)
        self._choose("values", 0, rows)

    def _choose(self, name: str, axis: int, rows: Tensor) -> None:
        held = getattr(self, name)
        if held is not None:
            setattr(self, name, held.index_select(axis, rows.to(held.device)))

    def crop(self, length: int) -> None:
        """Forget the newest positions; what is left of a block that was quantized stays as it was read."""
        length = length if length >= 0 else max(self.length + length, 0)
        held = self.contents()
        if held is None or length >= self.length:
            return
        kept = min(self.packed, length - length % self.residual)
        self.keys, self.values = (t[:, :, kept:length].clone() for t in held)
        for part, by_tokens in zip(("key", "value"), self.by_tokens, strict=True):
            codes, scales = getattr(self, f"{part}_codes"), getattr(self, f"{part}_scales")
            if codes is not None:
                rows = kept // math.gcd(self.residual, self.group) if by_tokens else kept
                setattr(self, f"{part}_codes", codes[:, :, : kept * self.bits // 8] if kept else None)
                setattr(self, f"{part}_scales", scales[:, :, :, :rows] if kept else None)
        self.length, self.packed = length, kept

    def reset(self) -> None:
        """Hold nothing."""
        super().reset()
        self.packed = 0


class Offloaded(Growing):
    """Keys and values in the memory of the host; a layer's are copied to its device while it reads them."""

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append."""
        device = keys.device
        all_keys, all_values, first = super().update(keys.cpu(), values.cpu())
        return all_keys.to(device), all_values.to(device), first


class OffloadedStatic(Offloaded, Static):
    """Likewise, with a fixed number of positions."""
