"""DoRA: lengths and directions of a weight's rows, learned apart (Liu et al. 2024, arXiv:2402.09353)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def _rows(layer: Any, weight: Tensor) -> Tensor:
    """A weight in the layout of the leaf as [out, ...], or back."""
    return weight.t() if layer.transposed else weight


@torch.no_grad()
def _lengths(layer: Any, name: str) -> Tensor:
    """Norms of the rows of the weight with the adapter added, [out]; section 4.3: without a gradient."""
    whole = layer.base_weight().float() + layer.get_delta_weight(name)
    found: Tensor = _rows(layer, whole).flatten(1).norm(dim=1)
    return found


def magnitude(layer: Any, name: str) -> nn.Parameter:
    """The first lengths, [out]; of a convolution [1, out, 1, ...]."""
    places = layer.get_base_layer().weight.dim() - 2
    if layer.factors(name)[0].is_meta:
        found = torch.empty(layer.out_features, device="meta")
    else:
        found = _lengths(layer, name)
    convolves = hasattr(layer.get_base_layer(), "kernel_size")
    return nn.Parameter(found.view(1, -1, *(1,) * places) if convolves else found)


def stretch(layer: Any, name: str) -> Tensor:
    """By how much each row is longer than it would be, in the shape of the magnitude."""
    kept: Tensor = layer.lora_magnitude_vector[name]
    return kept / _lengths(layer, name).to(kept.dtype).view(kept.shape)


def adapted(layer: Any, name: str, x: Tensor, result: Tensor) -> Tensor:
    """The leaf's result with an adapter that stretches rows.

    What was dropped of x is dropped before the leaf's own weight too, as in the ecosystem.
    """
    leaf, factor = layer.get_base_layer(), stretch(layer, name)
    thin = layer.lora_B[name](layer.lora_A[name](x)) * layer.scaling[name]
    if not isinstance(layer.lora_dropout[name], nn.Identity):
        plain = layer.product(x, layer.base_weight().to(x.dtype))
    elif leaf.bias is None:
        plain = result
    else:
        plain = result - leaf.bias.view(-1, *(1,) * (factor.dim() - 2))
    found: Tensor = result + (factor - 1) * plain + factor * thin
    return found


def stretched(layer: Any, name: str, weight: Tensor) -> Tensor:
    """A weight with the adapter added, its rows stretched; by how much is kept for the way back."""
    factor = stretch(layer, name).detach().float().flatten()
    layer.stretched[name] = factor
    return _scaled(layer, weight, factor)


def shrunk(layer: Any, name: str, weight: Tensor) -> Tensor:
    """The way back."""
    return _scaled(layer, weight, 1 / layer.stretched.pop(name))


def _scaled(layer: Any, weight: Tensor, factor: Tensor) -> Tensor:
    whole = _rows(layer, weight)
    return _rows(layer, whole * factor.view(-1, *(1,) * (whole.dim() - 1)))
