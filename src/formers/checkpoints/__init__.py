"""Files to weights and back: safetensors, shards, older formats, names, dtype, device placement."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formers.checkpoints.failures import CheckpointError, LoadError, UnsafeCheckpoint
    from formers.checkpoints.files import TensorFiles, find_weights
    from formers.checkpoints.loading import assign, load
    from formers.checkpoints.renames import Rename
    from formers.checkpoints.report import LoadReport
    from formers.checkpoints.saving import save
    from formers.core.atomic import write_atomically

# Looked up when first used, so that a config can be written without importing torch.
_HOMES = {
    "write_atomically": "..core.atomic",
    "CheckpointError": ".failures",
    "LoadError": ".failures",
    "UnsafeCheckpoint": ".failures",
    "TensorFiles": ".files",
    "find_weights": ".files",
    "assign": ".loading",
    "load": ".loading",
    "Rename": ".renames",
    "LoadReport": ".report",
    "save": ".saving",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "CheckpointError",
    "LoadError",
    "LoadReport",
    "Rename",
    "TensorFiles",
    "UnsafeCheckpoint",
    "assign",
    "find_weights",
    "load",
    "save",
    "write_atomically",
]
