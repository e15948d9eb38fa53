"""A model made ready for training adapters on it."""

from __future__ import annotations

from typing import Any

import torch


def prepare_model_for_kbit_training(
    model: Any,
    use_gradient_checkpointing: bool = True,
    gradient_checkpointing_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Freeze a model, widen what is in half precision to float32, and recompute layers where asked for.

    Args:
        model: a model of the library whose large weights are quantized; others are widened whole.
        use_gradient_checkpointing: recompute layers in the backward pass.
        gradient_checkpointing_kwargs: see `gradient_checkpointing_enable`.

    Returns:
        The model.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
    quantized = any(
        getattr(model, name, False) for name in ("is_loaded_in_8bit", "is_loaded_in_4bit", "is_quantized")
    )
    if quantized and use_gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs)
    return model
