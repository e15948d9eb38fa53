"""Convolutions over samples as matrix products over rows, where nobody looks inside.

Rows [T, C] that stand one after the other are read in steps without being copied: as many as a step takes
are one long row. A convolution is one product for each such piece of its kernel, which is faster than the
convolution itself, and what follows finds its rows in one piece. The norm over time of what single samples
make needs no pass over its results: their means and variances follow from those of the samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.activations import Activation, activation
from formers.nn.recording import recording

_FEW = 64  # numbers that a result reads, up to which they are copied out


def reads_rows(steps: Any, sound: Tensor) -> bool:
    """Whether these convolutions, with their norms and activations, can be computed so."""
    if torch.is_grad_enabled() or recording() or torch.is_autocast_enabled("cpu"):
        return False
    if sound.device.type != "cpu" or sound.dtype != torch.float32 or not len(sound):
        return False
    return all(_plain(step) for step in steps)


def _plain(step: Any) -> bool:
    conv, norm = step.conv, step._modules.get("layer_norm")
    if type(conv) is not nn.Conv1d or type(step.activation) is not Activation:
        return False
    if (conv.padding, conv.dilation, conv.groups) != ((0,), (1,), 1):
        return False
    if type(norm) is nn.GroupNorm:
        each = norm.num_groups == norm.num_channels and norm.affine
        return each and conv.in_channels * conv.kernel_size[0] <= _FEW
    return norm is None or type(norm) is nn.LayerNorm


def read_rows(steps: Any, sound: Tensor) -> Tensor:
    """[B, samples] -> [B, T, C]."""
    x = sound[..., None].contiguous()  # [B, T, C]
    for step in steps:
        conv, norm = step.conv, step._modules.get("layer_norm")
        if isinstance(norm, nn.GroupNorm):
            x = _normed_over_time(conv, norm, x)
        else:
            x = _convolved(conv, x)
            x = x if norm is None else norm(x)
        x = activation(step.activation.name, True)(x)
    return x


def _pieces(conv: nn.Conv1d, rows: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What a convolution reads of rows [T, C], and its weights: [T', R] and [R, C'] of each piece."""
    kernel, step, wide = conv.kernel_size[0], conv.stride[0], conv.in_channels
    count, weight, found = (len(rows) - kernel) // step + 1, conv.weight, []
    if kernel * wide <= _FEW:
        read = rows.unfold(0, kernel, step).flatten(1)  # [T', C * K]
        return [(read, weight.flatten(1).t())]
    for at in range(0, kernel, step):
        some = min(step, kernel - at)
        shape, start = (count, some * wide), rows.storage_offset() + at * wide
        read = rows.as_strided(shape, (step * wide, 1), start)
        found.append((read, weight[:, :, at : at + some].permute(2, 1, 0).reshape(some * wide, -1)))
    return found


def _convolved(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """[B, T, C] -> [B, T', C']."""
    count = (x.shape[1] - conv.kernel_size[0]) // conv.stride[0] + 1
    made = x.new_empty(len(x), count, conv.out_channels)
    for rows, out in zip(x, made, strict=True):
        first, *rest = _pieces(conv, rows)
        if conv.bias is None:
            torch.mm(*first, out=out)
        else:
            torch.addmm(conv.bias, *first, out=out)
        for piece in rest:
            out.addmm_(*piece)
    return made


def _normed_over_time(conv: nn.Conv1d, norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """[B, T, C] -> [B, T', C'], every feature of a sound with mean 0 and variance 1 before its scale."""
    made = []
    for rows in x:
        ((read, weight),) = _pieces(conv, rows)
        mean, kernel = read.double().mean(0), weight.double()  # [R], [R, C']
        apart = read.double() - mean
        variance = ((apart.t() @ apart / len(read)) @ kernel * kernel).sum(0)  # [C']
        scale = norm.weight.double() / (variance + norm.eps).sqrt()
        shift = norm.bias.double() - mean @ kernel * scale  # a bias of the convolution is part of the mean
        made.append(torch.addmm(shift.to(x.dtype), read, (kernel * scale).to(x.dtype)))
    return torch.stack(made) if len(made) > 1 else made[0][None]
