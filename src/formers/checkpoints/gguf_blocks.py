"""Numbers as the blocks of ggml's k-quants: 256 of them, with small scales for parts of a block.

The layouts are those of ggml's `block_q4_K`, `block_q5_K` and `block_q6_K` (ggml-common.h). Scales are those
of least squares over a few tries, where large numbers weigh more.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 256
_TINY = 1e-30


def _bytes(x: Tensor) -> Tensor:
    """[.., n] of half-precision numbers -> [.., 2 n] bytes."""
    return x.half().contiguous().view(torch.uint8)


def _line(x: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Scale and minimum of parts, [.., n] -> [..] twice: x is about scale * code - minimum."""
    weight = x.pow(2).mean(-1, keepdim=True).sqrt() + x.abs()
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True)
    reach = (high - low).clamp(min=_TINY)
    best = torch.full_like(low, float("inf"))
    scale, minimum = reach / most, -low
    total, sum_x = weight.sum(-1, keepdim=True), (weight * x).sum(-1, keepdim=True)
    for more in [0.0, *(i / 10 - (1 if most == 15 else 0.5) for i in range(21 if most == 15 else 16))]:
        codes = ((most + more) / reach * (x - low)).round_().clamp_(0, most)
        once, twice = ((weight * codes.pow(n)).sum(-1, keepdim=True) for n in (1, 2))
        both = (weight * codes * x).sum(-1, keepdim=True)
        spread = total * twice - once * once
        step = (total * both - sum_x * once) / spread.clamp(min=_TINY)
        start = (twice * sum_x - once * both) / spread.clamp(min=_TINY)
        step = torch.where(start > 0, both / twice.clamp(min=_TINY), step)
        start = start.clamp(max=0)
        off = (weight * (step * codes + start - x).pow(2)).sum(-1, keepdim=True)
        better = (off < best) & (spread > 0)
        best, scale, minimum = (
            torch.where(better, new, old) for new, old in ((off, best), (step, scale), (-start, minimum))
        )
    return scale[..., 0].clamp(min=0), minimum[..., 0].clamp(min=0)


def _asymmetric(x: Tensor, bits: int) -> Tensor:
    """[blocks, 256] -> [blocks, 144 or 176] bytes: scales and minima in 6 bits of parts of 32."""
    parts = x.view(-1, 8, 32)
    found = _line(parts, (1 << bits) - 1)
    wide = torch.stack([value.amax(-1) / 63 for value in found], -1).half()  # [blocks, 2]
    whole = [
        torch.where(d[:, None] > 0, value / d[:, None].clamp(min=_TINY), 0.0).round_().clamp_(0, 63)
        for value, d in zip(found, wide.float().unbind(-1), strict=True)
    ]
    scale, minimum = (value * wide[:, i, None].float() for i, value in enumerate(whole))
    codes = ((parts + minimum[..., None]) / scale[..., None].clamp(min=_TINY)).round_()
    codes = torch.where(scale[..., None] > 0, codes, 0.0).clamp_(0, (1 << bits) - 1).to(torch.uint8)
    s, m = (value.to(torch.uint8) for value in whole)
    packed = [
        s[:, :4] | s[:, 4:] >> 4 << 6,
        m[:, :4] | m[:, 4:] >> 4 << 6,
        s[:, 4:] & 15 | (m[:, 4:] & 15) << 4,
    ]
    pairs = codes.view(-1, 4, 2, 32)
    low = (pairs[:, :, 0] & 15 | (pairs[:, :, 1] & 15) << 4).flatten(1)
    high = []
    if bits == 5:
        shifts = torch.arange(8, dtype=torch.uint8)[:, None]
        high = [(codes >> 4 << shifts).sum(1, dtype=torch.uint8)]
    return torch.cat([_bytes(wide), *packed, *high, low], 1)


def _symmetric(x: Tensor) -> Tensor:
    """[blocks, 256] -> [blocks, 210] bytes of q6_K: scales in 8 bits of parts of 16."""
    parts = x.view(-1, 16, 16)
    weight = parts.pow(2)
    at = parts.abs().argmax(-1, keepdim=True)
    largest = parts.gather(-1, at)
    largest = torch.where(largest.abs() > 1e-15, largest, 1e-15)
    scale, best = -largest / 32, torch.full_like(largest, -1.0)
    for i in range(-9, 10):
        codes = (parts * (-(32 + i / 10) / largest)).round_().clamp_(-32, 31)
        both, twice = ((weight * codes * other).sum(-1, keepdim=True) for other in (parts, codes))
        gain = both * both / twice.clamp(min=_TINY)
        better = (gain > best) & (twice > 0)
        best, scale = (
            torch.where(better, gain, best),
            torch.where(better, both / twice.clamp(min=_TINY), scale),
        )
    scale = scale[..., 0]  # [blocks, 16]
    most = scale.gather(-1, scale.abs().argmax(-1, keepdim=True))
    most = torch.where(most.abs() > 1e-15, most, 1e-15)
    whole = (scale * (-128 / most)).round_().clamp_(-128, 127)
    wide = (most / -128).half()
    each = (whole * wide.float())[..., None]
    codes = torch.where(each != 0, parts / torch.where(each != 0, each, 1.0), 0.0)
    codes = (codes.round_().clamp_(-32, 31) + 32).to(torch.uint8)
    four = codes.view(-1, 2, 4, 32)
    low = four & 15
    packed = torch.stack([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], 2)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8)[:, None]
    high = (four >> 4 << shifts).sum(2, dtype=torch.uint8)
    return torch.cat(
        [packed.flatten(1), high.flatten(1), whole.to(torch.int8).view(torch.uint8), _bytes(wide)], 1
    )


# name of ggml's type -> [blocks, 256] in float32 to [blocks, bytes]
PACK: dict[str, Callable[[Tensor], Tensor]] = {
    "Q4_K": lambda x: _asymmetric(x, 4),
    "Q5_K": lambda x: _asymmetric(x, 5),
    "Q6_K": _symmetric,
}
