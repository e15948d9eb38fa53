"""The matrix product of a linear leaf, through the kernel that is fastest for it.

In float32 on a CPU, oneDNN's linear is more than twice as fast as the product that `F.linear` takes on
many processors, forward and backward, also from a weight that is not packed. In bfloat16 the two products
are equally fast, but this one adds the bias and applies the activation before it writes its result. It is
reached through one private torch operator, here and nowhere else; where the operator is missing, the leaf
is called plainly. On processors of MKL's maker, `F.linear` and an activation in place is as fast or faster
for few rows, for weights that a cache holds, and backward; there each is taken where it wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as _modules

from formers.core.devices import cpu_made_by
from formers.nn.activations import activation as activation_named
from formers.nn.leaves import Conv1D
from formers.nn.recording import dispatched, recording

_SMALL = 1 << 16  # rows * in * out below which the plain call's shorter way in wins
_FEW = 4  # rows below which MKL's products win, where they are fast at all
_CACHED = 1 << 20  # numbers in a weight below which they do
_BLOCK = 128  # rows whose products in 8 bits are taken together
_FUSED = {
    "gelu": ("gelu", "none"),
    "gelu_python": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "tanh": ("tanh", ""),
}


def _find_operator() -> Any:
    try:
        if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return torch.ops.mkldnn._linear_pointwise.default
    except (AttributeError, RuntimeError):
        pass  # a torch build without the operator: every leaf is called plainly
    return None


def _find_dtypes() -> tuple[torch.dtype, ...]:
    """What the operator computes in on this processor."""
    try:
        narrow = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):
        narrow = False
    return (torch.float32, torch.bfloat16) if narrow else (torch.float32,)


_operator = _find_operator()
_mkl = cpu_made_by("GenuineIntel") and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
_dtypes = _find_dtypes()


def project(leaf: nn.Module, x: Tensor, activation: str | None = None, watched: bool | None = None) -> Tensor:
    """Apply a linear leaf and an activation.

    Args:
        leaf: any module from [N, in] to [N, out]; `nn.Linear` and `Conv1D` may take a faster kernel.
        x: [N, in].
        activation: name of an activation, or None.
        watched: whether the leaf must be called, so that whoever looks sees it; None to find out.

    Returns:
        [N, out].
    """
    if watched is None:
        watched = hooked(leaf) or dispatched() or recording()
    out: Tensor
    if not watched and _eligible(leaf, x):
        weight = leaf.weight.t() if type(leaf) is Conv1D else leaf.weight
        kind, algorithm = _FUSED.get(activation or "", ("none", ""))
        if _tracked(leaf, x):
            out = _OneDnnLinear.apply(x, weight, leaf.bias)  # type: ignore[no-untyped-call]
        else:
            out = _operator(x, weight, leaf.bias, kind, [], algorithm)
            activation = None if kind != "none" else activation
    else:
        out = leaf(x)
    if not activation:
        return out
    # a product is nobody else's: where nobody looks and nothing is recorded, it takes the activation
    own = not watched and type(leaf) in (nn.Linear, Conv1D) and not torch.is_grad_enabled()
    return activation_named(activation, own)(out)


def _eligible(leaf: nn.Module, x: Tensor) -> bool:
    """Whether oneDNN's product can be taken, and wins on this processor."""
    if type(leaf) is not nn.Linear and type(leaf) is not Conv1D:
        return False
    weight = leaf.weight
    if few_rows(x, weight) or (_mkl and x.dtype is torch.float32 and _tracked(leaf, x)):
        return False
    return (
        x.dim() == 2
        and x.device.type == "cpu"
        and type(weight) is nn.Parameter
        and weight.dtype is x.dtype
        and weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and type(x) is Tensor
        and (x.dtype is torch.float32 or not _tracked(leaf, x))
    )


def few_rows(x: Tensor, weight: Tensor) -> bool:
    """Whether the plain product wins for an [n, in] that nobody tracks, or is the only one."""
    if _operator is None or x.dtype not in _dtypes or x.shape[0] * weight.numel() < _SMALL:
        return True
    return _mkl and x.dtype is torch.float32 and (x.shape[0] < _FEW or weight.numel() < _CACHED)


def plain_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[n, in], [out, in], [out] -> [n, out], by the kernel that wins where nobody watches or tracks."""
    if few_rows(x, weight) or x.device.type != "cpu":
        return F.linear(x, weight, bias)
    out: Tensor = _operator(x, weight, bias, "none", [], "")
    return out


def grouped(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor] | None, counts: list[int], plain: bool
) -> Tensor:
    """Products of groups of rows, each with a weight of its own.

    Args:
        x: [S, in], group by group.
        weights: [out, in], one for each group.
        biases: [out] each.
        counts: rows of each group.
        plain: nobody looks and no gradient is wanted, so that results are written where they belong.

    Returns:
        [S, out].
    """
    parts = torch.split(x, counts)
    each: Sequence[Tensor | None] = biases or (None,) * len(weights)
    if not plain or x.dtype != weights[0].dtype or torch.is_autocast_enabled(x.device.type):
        found = [F.linear(p, w, b) for p, w, b in zip(parts, weights, each, strict=True) if len(p)]
        return torch.cat(found)
    wide, narrow = weights[0].shape
    # column by column where the result is the narrower: products of few rows are faster that way round
    out = x.new_empty(wide, x.shape[0]).t() if wide < narrow else x.new_empty(x.shape[0], wide)
    # never by oneDNN: it prepares itself anew for every number of rows, and here these are never the same
    for part, weight, bias, into in zip(parts, weights, each, torch.split(out, counts), strict=True):
        if not len(part):
            continue
        if bias is None:
            torch.mm(part, weight.t(), out=into)
        else:
            torch.addmm(bias, part, weight.t(), out=into)
    return out


def largest_of(x: Tensor) -> Tensor:
    """[N, in] -> [N, 1], each row's absolute maximum."""
    return x.abs().amax(-1, keepdim=True)


def int8_product(x: Tensor, weight: Tensor, scale: Tensor, largest: Tensor) -> Tensor:
    """Rows brought to 8 bits, each by its absolute maximum, times a weight in 8 bits.

    Args:
        x: [N, in], floating.
        weight: [out, in], int8.
        scale: [out], float32: what one of the weight's steps is worth, row by row.
        largest: [N, 1], see `largest_of`.

    Returns:
        [N, out] in the dtype of `x`.
    """
    largest = largest.float().clamp(min=1e-30)
    out = x.new_empty(x.shape[0], weight.shape[0], dtype=torch.float32)
    # by blocks of rows: what stands between the steps stays in a processor's cache
    for rows, most, into in zip(*(torch.split(each, _BLOCK) for each in (x, largest, out)), strict=True):
        small = torch.mul(rows.float(), 127.0 / most).round_().to(torch.int8)
        if x.device.type == "cpu":
            found = torch._int_mm(small, weight.t()).float()
        else:  # other devices want more rows, in multiples
            found = small.float() @ weight.float().t()
        torch.mul(found.mul_(scale), most / 127, out=into)
    return out.to(x.dtype)


def hooked(module: nn.Module) -> bool:
    """Whether calling `module` does more than its class says: hooks of its own, or of all modules."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        or any(global_hooks())
    )


def global_hooks() -> tuple[dict[int, Any], ...]:
    """The tables of hooks on all modules."""
    return (
        _modules._global_forward_hooks,
        _modules._global_forward_pre_hooks,
        _modules._global_backward_hooks,
        _modules._global_backward_pre_hooks,
    )


def _tracked(leaf: nn.Module, x: Tensor) -> bool:
    return torch.is_grad_enabled() and (x.requires_grad or bool(leaf.weight.requires_grad))


class _OneDnnLinear(torch.autograd.Function):
    """`x @ weight.T + bias` with all three products of the backward pass in oneDNN as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """[N, in], [out, in], [out] -> [N, out]."""
        # a frozen weight gets no gradient, and what it read need not be kept
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        out: Tensor = _operator(x, weight, bias, "none", [], "")
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of the three inputs; differentiable again where a graph of them is asked for."""
        x, weight = ctx.saved_tensors
        grad = grads[0]
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = _product(grad, weight.t())  # [N, in]
        if ctx.needs_input_grad[1]:
            for_weight = _product(grad.t(), x.t())  # [out, in]
        return for_x, for_weight, grad.sum(0) if ctx.needs_input_grad[2] else None


def _product(a: Tensor, b: Tensor) -> Tensor:
    """[M, K] and [L, K] -> [M, L]."""
    if torch.is_grad_enabled():  # a second derivative is being recorded
        return a @ b.t()
    out: Tensor = _operator(a, b, None, "none", [], "")
    return out
