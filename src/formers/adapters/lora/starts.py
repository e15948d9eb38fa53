"""First values of LoRA's matrices, and of the weight where they take a part of it over."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from formers.quantization.four_bits import Linear4bit


@torch.no_grad()
def start(layer: Any, name: str, config: Any) -> None:
    """Draw an adapter's A and B.

    Args:
        layer: a LoRA leaf, whose matrices are as their classes draw them.
        name: of the adapter.
        config: see `LoraConfig.init_lora_weights`.

    Raises:
        ValueError: for a start from the weight of a leaf that is not linear; on quantized weights.
    """
    how = config.init_lora_weights
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
    if how == "loftq":
        a, b, rest = _loftq(weight, r, config.loftq_config["loftq_iter"])
    elif how == "orthogonal":
        a, b = _orthogonal(r, layer.in_features, layer.out_features)
    else:
        a, b = _olora(weight, r) if how == "olora" else _pissa(weight, r, scaling, str(how))
        rest = weight - scaling * b @ a
    if how != "orthogonal":
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


def _loftq(weight: Tensor, r: int, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
    """A and B that make up for what nf4 loses of the weight, and what it leaves (arXiv:2310.08659)."""
    packed = Linear4bit(weight.shape[1], weight.shape[0], False, kind="nf4")
    a, b = weight.new_zeros(r, weight.shape[1]), weight.new_zeros(weight.shape[0], r)
    few = weight
    for _ in range(rounds):
        packed.take(weight - b @ a)
        few = packed.dequantized()
        left, values, right = torch.linalg.svd(weight - few, full_matrices=False)
        root = values[:r].sqrt()
        a, b = root[:, None] * right[:r], left[:, :r] * root
    return a, b, few


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
