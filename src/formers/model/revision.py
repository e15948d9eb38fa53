"""What tells one model from another: a commit where there is one, else a hash of what it computes with."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

_BLOCK = 1 << 20  # bytes


def revision_of(model: Any) -> str:
    """The commit hash that the model was loaded at, else `sha256:` and 16 hex digits over its weights.

    The hash covers names, dtypes, shapes and values of everything in the state dictionary: two models share
    it when they would be saved as the same tensors. A model that files compute instead (`files`) is told by
    these.
    """
    commit = getattr(getattr(model, "config", None), "commit_hash", None)
    if commit:
        return str(commit)
    digest = hashlib.sha256()
    files = getattr(model, "files", None)
    if files is not None:
        for file in files:
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
        return f"sha256:{digest.hexdigest()[:16]}"
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(values.view(torch.uint8).numpy()))
    return f"sha256:{digest.hexdigest()[:16]}"
