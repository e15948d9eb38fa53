"""First values of LoRA's matrices, and of the weight where they take a part of it over."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def start(layer: Any, name: str, how: bool | str) -> None:
    """Draw an adapter's A and B.

    Args:
        layer: a LoRA leaf, whose matrices are as their classes draw them.
        name: of the adapter.
        how: see `LoraConfig.init_lora_weights`.

    Raises:
        ValueError: for a start from the weight of a leaf that is not linear; on quantized weights.
    """
    down, up = layer.lora_A[name], layer.lora_B[name]
    if how is False or down.weight.is_meta:
        return
    if how is True or how == "gaussian":
        if how is True:
            nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        else:
            nn.init.normal_(down.weight, std=1 / layer.r[name])
        nn.init.zeros_(up.weight)
        if up.bias is not None:
            nn.init.zeros_(up.bias)
        return
    leaf = layer.get_base_layer()
    if leaf.weight.dim() != 2 or not leaf.weight.is_floating_point():
        raise ValueError(f"init_lora_weights={how!r} starts from linear weights in a floating dtype")
    r, scaling = layer.r[name], layer.scaling[name]
    weight = leaf.weight.data.float()
    weight = weight.t() if layer.fan_in_fan_out else weight
    if how == "orthogonal":
        a, b = _orthogonal(r, layer.in_features, layer.out_features)
    else:
        a, b = _olora(weight, r) if how == "olora" else _pissa(weight, r, scaling, str(how))
        rest = weight - scaling * b @ a
        leaf.weight.data = (rest.t() if layer.fan_in_fan_out else rest).to(leaf.weight.dtype)
    down.weight.data, up.weight.data = a.contiguous(), b.contiguous()


def _pissa(weight: Tensor, r: int, scaling: float, how: str) -> tuple[Tensor, Tensor]:
    """The principal singular values, shared out (arXiv:2404.02948)."""
    if how == "pissa":
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        left, values, right = left[:, :r], values[:r], right[:r]
    else:
        left, values, right = torch.svd_lowrank(weight, r, niter=int(how.rpartition("_")[2]))
        right = right.t()
    root = (values / scaling).sqrt()
    return root[:, None] * right, left * root


def _olora(weight: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """The first columns of an orthonormal factor (arXiv:2406.01775)."""
    q, upper = torch.linalg.qr(weight)
    return upper[:r], q[:, :r]


def _orthogonal(r: int, read: int, made: int) -> tuple[Tensor, Tensor]:
    """Odd rows of an orthogonal matrix for one, even rows for the other, so that they cancel."""
    if r % 2:
        raise ValueError(f"init_lora_weights='orthogonal' takes an even rank, not {r}")
    q, _ = torch.linalg.qr(torch.randn(r, r))
    a = (torch.randn(read, r // 2) @ q[0::2]).t() / 10.0
    b = torch.randn(r // 2, made).t() @ q[1::2] / 10.0
    return a, b
