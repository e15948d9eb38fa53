"""Steps over a handful of rows, where calling is what costs: what a step needs is looked up once.

A step may offer a swift form (`Step.swift`): a function of the flow alone, which does what `run` does in a
pass that nobody watches, in which nothing is recorded, and in which every sequence has one new token. The
forms are made when the tree was walked (`nn.watch`) and go with it, so that a leaf that is replaced is the
one that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import activation as activation_named
from formers.nn.kernels import few_rows, plain_product, project
from formers.nn.leaves import Conv1D, RMSNorm

Product = Callable[[Tensor], Tensor]
_JOINED = 1 << 22  # numbers in weights that are laid side by side: larger ones cost more to read than to call


def product(leaf: nn.Module, activation: str | None = None) -> Product:
    """`kernels.project` of a leaf, with what can be decided beforehand decided."""
    if type(leaf) is not nn.Linear and type(leaf) is not Conv1D:
        return lambda x: project(leaf, x, activation, False)
    parameters, turned = leaf._parameters, type(leaf) is Conv1D
    act = activation_named(activation, True) if activation else None

    def run(x: Tensor) -> Tensor:
        weight: Any = parameters["weight"]
        if not few_rows(x, weight):
            return project(leaf, x, activation, False)
        out = F.linear(x, weight.t() if turned else weight, parameters["bias"])
        return out if act is None else act(out)

    return run


def beside(leaves: Sequence[nn.Module]) -> Product | None:
    """One product for several linear leaves, [n, in] -> [n, all outputs]; None where that cannot be.

    Their weights are laid side by side in memory, and stay the parameters that they are. Where somebody
    moves one elsewhere, the products are taken one by one.
    """
    if not all(type(leaf) is nn.Linear for leaf in leaves) or len({leaf.bias is None for leaf in leaves}) > 1:
        return None
    tables: list[dict[str, Any]] = [leaf._parameters for leaf in leaves]
    weights = [table["weight"] for table in tables]
    biased = tables[0]["bias"] is not None
    alike = {(type(w), w.dtype, w.device, w.shape[1]) for w in weights}
    plain = len(alike) == 1 and type(weights[0]) is nn.Parameter and weights[0].device.type == "cpu"
    if not plain or sum(w.numel() for w in weights) > _JOINED:
        return None
    whole = _laid([table["weight"] for table in tables])
    bias = _laid([table["bias"] for table in tables]) if biased else None
    held = [(table, name) for table in tables for name in ("weight", "bias")[: 1 + biased]]
    places = [table[name].data_ptr() for table, name in held]
    each = [product(leaf) for leaf in leaves]

    def run(x: Tensor) -> Tensor:
        for (table, name), place in zip(held, places, strict=True):
            if table[name].data_ptr() != place:
                return torch.cat([one(x) for one in each], dim=-1)
        return plain_product(x, whole, bias)

    return run


def _laid(tensors: list[Any]) -> Tensor:
    """The tensors one after the other in one piece of memory, which they become views of."""
    first = tensors[0]
    size, ends = 0, []
    for tensor in tensors:
        ends.append((size, size + len(tensor)))
        size += len(tensor)
    step = first[0].numel() * first.element_size() if first.dim() > 1 else first.element_size()
    home = first.untyped_storage().data_ptr()
    if all(
        t.is_contiguous()
        and t.untyped_storage().data_ptr() == home
        and t.data_ptr() == first.data_ptr() + start * step
        for t, (start, _) in zip(tensors, ends, strict=True)
    ):
        base: Tensor = first.detach()
        return base.as_strided((size, *base.shape[1:]), base.stride())
    with torch.inference_mode(False), torch.no_grad():
        whole = torch.cat([tensor.detach() for tensor in tensors])
        for tensor, (a, b) in zip(tensors, ends, strict=True):
            tensor.data = whole[a:b]
    return whole


def normalise(leaf: nn.Module) -> Product:
    """A norm."""
    if type(leaf) is RMSNorm and not leaf.wide:
        parameters, eps = leaf._parameters, leaf.eps

        def rms(x: Tensor) -> Tensor:
            weight: Any = parameters["weight"]
            if x.dtype is not torch.float32 or weight.dtype is not torch.float32:
                return leaf(x)  # type: ignore[no-any-return]  # a module
            return F.rms_norm(x, weight.shape, weight, eps)

        return rms
    if type(leaf) is nn.LayerNorm:
        table, shape, epsilon = leaf._parameters, leaf.normalized_shape, leaf.eps
        return lambda x: F.layer_norm(x, shape, table["weight"], table["bias"], epsilon)
    return leaf
