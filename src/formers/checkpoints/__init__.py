"""Files to weights and back: safetensors, shards, older formats, names, dtype, device placement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.core.lazy import lazy

if TYPE_CHECKING:
    from formers.checkpoints.failures import CheckpointError, LoadError, UnsafeCheckpoint
    from formers.checkpoints.files import TensorFiles, find_weights
    from formers.checkpoints.loading import assign, load
    from formers.checkpoints.renames import Rename
    from formers.checkpoints.report import LoadReport
    from formers.checkpoints.saving import save
    from formers.core.atomic import write_atomically

# Looked up when first used, so that a config can be written without importing torch.
__getattr__, __dir__ = lazy(
    __name__,
    {
        ".failures": ("CheckpointError", "LoadError", "UnsafeCheckpoint"),
        ".files": ("TensorFiles", "find_weights"),
        ".loading": ("assign", "load"),
        ".renames": ("Rename",),
        ".report": ("LoadReport",),
        ".saving": ("save",),
        "formers.core.atomic": ("write_atomically",),
    },
)

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
