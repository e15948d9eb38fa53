"""GPTQ: whole numbers chosen one input after the other, each error made good by the inputs that follow.

Frantar et al. 2022, arXiv:2210.17323: the columns of a weight are rounded in turn; what a column is off, as
the Hessian of the leaf's own squared error says, is taken off the columns that are still to come.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn.leaves import Conv1D
from formers.quantization.groups import Grid, GroupedLinear, Groups
from formers.quantization.hearing import gathered, in_blocks, stages, texts_of
from formers.quantization.packed import PackedLinear

_TOGETHER = 128  # columns whose errors are carried on before the others hear of them


@torch.no_grad()
def fitted(weight: Tensor, hessian: Tensor, grid: Grid, damp: float = 0.1, by_size: bool = False) -> Groups:
    """Round a weight by what its inputs were.

    Args:
        weight: [out, in].
        hessian: [in, in], the inputs' sum of products.
        grid: the whole numbers.
        damp: what is added to the diagonal, as a share of its mean.
        by_size: round inputs by descending size, "act-order".

    Returns:
        The groups; in an order of their own where they are rounded by size.
    """
    w, h = weight.detach().float().clone(), hessian.clone()
    out, read = w.shape
    size = read if grid.size < 0 else grid.size
    h.diagonal()[h.diagonal() == 0] = 1.0  # never read: rounded to the nearest
    turn = h.diagonal().argsort(descending=True) if by_size else torch.arange(read)
    w, h = w[:, turn], h[turn][:, turn]
    h.diagonal().add_(damp * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    codes = torch.empty(out, read, dtype=torch.uint8)
    scales, zeros = [], []
    for first in range(0, read, _TOGETHER):
        last = min(first + _TOGETHER, read)
        errors = torch.empty(out, last - first)
        for i in range(first, last):
            if i % size == 0:
                scale, zero = grid.scales(w[:, i : i + size])
                scale = scale.half().float().clamp(min=torch.finfo(torch.float16).tiny)
                scales.append(scale)
                zeros.append(zero)
            codes[:, i] = grid.code(w[:, i], scale, zero)
            off = (w[:, i] - (codes[:, i] - zero) * scale) / upper[i, i]
            w[:, i:last] -= off[:, None] * upper[i, i:last]
            errors[:, i - first] = off
        w[:, last:] -= errors @ upper[first:last, last:]
    back = turn.argsort()
    order = (torch.arange(read) // size)[back] if by_size else grid.ordered(None, read, len(scales))
    scale, zero = (torch.stack(each, 1) for each in (scales, zeros))
    return Groups(codes[:, back].contiguous(), scale.half(), zero, order)


def calibrate(model: Any, config: Any, leaves: dict[str, tuple[nn.Module, PackedLinear]]) -> None:
    """Quantize leaves by what they read while a model reads `config.dataset`.

    Block after block, and within a block (where `true_sequential`) as they are called, so that each is fitted
    to inputs that come from quantized leaves. A leaf that reads nothing, such as an expert whom nobody chose,
    is rounded to the nearest.

    Args:
        model: in full precision.
        config: with `dataset`, `tokenizer`, `damp_percent`, `desc_act`, ...
        leaves: path -> the leaf and the one that is to stand in its place.
    """
    texts, later = texts_of(config), {path: leaf for path, (leaf, _) in leaves.items()}
    for paths in in_blocks(leaves):
        called = stages(model, texts[0], {path: leaves[path][0] for path in paths})
        called = called if config.true_sequential else [[path for stage in called for path in stage]]
        for stage in [*called, [path for path in paths if not any(path in one for one in called)]]:
            seen = gathered(model, texts, {path: later.pop(path) for path in stage}, later)
            for path in stage:
                leaf, packed = leaves[path]
                weight: Any = leaf.weight
                weight = weight.t() if isinstance(leaf, Conv1D) else weight
                if path not in seen:
                    packed.take(weight)
                else:
                    assert isinstance(packed, GroupedLinear)
                    grid: Any = packed.layout
                    packed.put(fitted(weight, seen[path], grid, config.damp_percent, config.desc_act))
                bias: Any = leaf.bias
                packed.bias = bias
                model.set_submodule(path, packed)
