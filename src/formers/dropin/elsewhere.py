"""Names that modules of the ecosystem hold because they import them: each is the one of its own package."""

from __future__ import annotations

import importlib
from typing import Any

# name -> the module that has it
NAMES = {
    **dict.fromkeys(("CommitOperationAdd", "create_commit", "create_repo"), "huggingface_hub"),
    **dict.fromkeys(("hf_hub_download", "snapshot_download"), "huggingface_hub"),
    **dict.fromkeys(("BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss"), "torch.nn"),
    "are_progress_bars_disabled": "huggingface_hub.utils",
    "checkpoint": "torch.utils.checkpoint",
    "create_block_mask": "torch.nn.attention.flex_attention",
    "nn": "torch",
    **dict.fromkeys(
        (
            *("constant_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_"),
            *("orthogonal_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_"),
        ),
        "torch.nn.init",
    ),
    "safe_open": "safetensors",
    "tqdm": "tqdm.auto",
    **dict.fromkeys(("init_empty_weights", "init_on_device"), "accelerate"),
}


def has(module: str, name: str) -> bool:
    """Whether a module, by its path below the package, hands out one of these."""
    return name in NAMES and bool(module)


def named(name: str) -> Any:
    """What one of `NAMES` means.

    Raises:
        ImportError: where its package is not installed.
    """
    return getattr(importlib.import_module(NAMES[name]), name)
