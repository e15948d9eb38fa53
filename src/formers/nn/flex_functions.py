"""Attention by torch's flex_attention as a function of its own, in the ecosystem's names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def compile_friendly_flex_attention(
    query: Tensor, key: Tensor, value: Tensor, training: bool = False, **kwargs: Any
) -> Any:
    """The `flex_attention` of torch, which a compiler around it compiles along.

    Args:
        query: [B, H, T, D].
        key: [B, G, S, D].
        value: likewise.
        training: changes nothing: one function serves both.
        kwargs: as torch has them.
    """
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention(query, key, value, **kwargs)


def flex_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a layer of one's own.

    Args:
        module: the layer.
        query: [B, H, T, D].
        key: [B, G, S, D].
        value: likewise.
        attention_mask: a `BlockMask`, or numbers [B, 1, T, S] that are added to scores.
        scaling: of scores; None for 1 / sqrt(D).
        softcap: scores s become softcap * tanh(s / softcap).
        kwargs: `kernel_options`; what backends of other kinds read is left out.

    Returns:
        [B, T, H, D], and None: weights are not computed.

    Raises:
        ValueError: for dropout, which flex_attention has not.
    """
    if kwargs.get("dropout", 0.0) > 0:
        raise ValueError(
            "flex_attention has no dropout: call model.eval(), or turn the config's attention dropout off"
        )
    added = attention_mask if isinstance(attention_mask, Tensor) else None

    def shape(score: Tensor, row: Tensor, head: Tensor, at: Tensor, other: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        return score if added is None else score + added[row, 0, at, other]

    made = compile_friendly_flex_attention(
        query,
        key,
        value,
        score_mod=shape if added is not None or softcap is not None else None,
        block_mask=None if added is not None else attention_mask,
        enable_gqa=query.shape[1] != key.shape[1],
        scale=scaling,
        kernel_options=kwargs.get("kernel_options"),
    )
    return made.transpose(1, 2).contiguous(), None


def get_target_dtype(query: Tensor, module: nn.Module) -> torch.dtype | None:
    """The dtype that kernels for narrow floats get queries in: None where these are narrow already.

    Args:
        query: of any shape.
        module: the layer, whose linear leaves, or whose quantized config, say it outside autocast.
    """
    if query.dtype != torch.float32:
        return None
    if torch.is_autocast_enabled(query.device.type):
        return torch.get_autocast_dtype(query.device.type)
    config: Any = getattr(module, "config", None)
    if hasattr(config, "_is_quantized"):
        told: torch.dtype = config.dtype
        return told
    return next(one.weight.dtype for one in module.modules() if isinstance(one, nn.Linear))
