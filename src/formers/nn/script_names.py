"""Functions of the ecosystem's model files that packages import, and kernels of other packages."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.losses import balance
from formers.nn.surgery import apply_rotary_pos_emb

# inputs that show a model once to what traces it: ids [3, 5], and which of them are real
DUMMY_INPUTS = [[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]]
DUMMY_MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]

# kernels of `mamba-ssm` and `causal-conv1d`: nothing here uses them, which packages see from None
causal_conv1d_fn = causal_conv1d_update = mamba_inner_fn = selective_scan_fn = selective_state_update = None


def lazy_load_kernel(kernel_name: str, mapping: dict[str, Any] | None = None) -> None:
    """None: no kernels are loaded from the Hub, as where the ecosystem finds none of that name."""


def softmax_backward_data(parent: Any, grad_output: Tensor, output: Tensor) -> Tensor:
    """The gradient of a softmax with respect to its input.

    Args:
        parent: whose `dim` is the axis of the softmax.
        grad_output: the gradient of the result.
        output: the result, of the same shape.
    """
    inner = (grad_output * output).sum(parent.dim, keepdim=True)
    return (grad_output - inner) * output


def dropout_add(x: Tensor, residual: Tensor, prob: float, training: bool) -> Tensor:
    """`residual` plus `x` of which a share is dropped in training; tensors of one shape."""
    return residual + F.dropout(x, p=prob, training=training)


def apply_rotary_pos_emb_interleave(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """Turn queries and keys whose pairs stand side by side; the results have them half by half.

    Args:
        q: [B, H, T, D], or [B, T, H, D] with `unsqueeze_dim=2`; numbers 2i and 2i + 1 are a pair.
        k: likewise.
        cos: [B, T, D]; each angle twice, half by half.
        sin: likewise.
        unsqueeze_dim: where the axis of heads is.
    """
    q, k = (torch.cat((one[..., 0::2], one[..., 1::2]), -1) for one in (q, k))
    return apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim)


def yarn_get_mscale(scale: float = 1, mscale: float = 1) -> float:
    """By how much YaRN scales attention where contexts are longer by `scale` (arXiv:2309.00071, (22))."""
    return 1.0 if scale <= 1 else 0.1 * mscale * math.log(scale) + 1.0


def load_balancing_loss_func(
    gate_logits: tuple[Tensor, ...] | None,
    num_experts: int | None = None,
    top_k: int = 2,
    attention_mask: Tensor | None = None,
) -> Tensor | int:
    """How unevenly experts are used (arXiv:2101.03961, (4)); 0 where there are no routers.

    Args:
        gate_logits: of every router, [B * T, experts].
        num_experts: how many there are, as the logits say too.
        top_k: experts that read each token.
        attention_mask: [B, T], which places hold tokens; None when all do.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: for a number of experts that the logits do not have.
    """
    if not isinstance(gate_logits, tuple):
        return 0
    there = gate_logits[0].shape[-1]
    if num_experts not in (None, there):
        raise ValueError(f"num_experts={num_experts}, but the routers' logits are of {there} experts")
    return balance(gate_logits, top_k, None if attention_mask is None else attention_mask.reshape(-1))


def unwrap_model(model: nn.Module, recursive: bool = False) -> nn.Module:
    """The model inside wrappers of parallel or compiled runs.

    Args:
        model: the model, perhaps wrapped.
        recursive: whether wrapped modules inside it are unwrapped in place too.
    """
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers) or hasattr(model, "_orig_mod"):
        inner: Any = model.module if isinstance(model, wrappers) else getattr(model, "_orig_mod")  # noqa: B009
        model = inner
    if recursive:
        for name, child in list(model.named_children()):
            model.add_module(name, unwrap_model(child, recursive=True))
    return model


def get_parameter_dtype(parameter: nn.Module) -> torch.dtype | None:
    """The dtype of a module's first floating parameter or buffer, else of its first one; None without any."""
    tensors = [*parameter.parameters(), *parameter.buffers()]
    floating = (one for one in tensors if one.is_floating_point())
    found = next(floating, tensors[0] if tensors else None)
    return None if found is None else found.dtype
