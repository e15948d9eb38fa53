"""Folders with ONNX models: what lies in them, and how one is written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from formers.core.atomic import refuse_unwritable, temporary_beside

LARGE = 1 << 30  # bytes of weights that lie beside a graph: one file may hold two GiB
_GRAPHS = ("model*.onnx", "encoder_model*.onnx")
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json", "*.gguf")


def data_of(file: Path) -> Path:
    """Where the weights of a large graph lie."""
    return file.with_name(f"{file.name}_data")


def is_exported(name: object) -> bool:
    """Whether a name is a folder that holds graphs and no weights of torch's: an exported model."""
    if not isinstance(name, str | os.PathLike):
        return False
    folder = Path(name)
    return folder.is_dir() and any(_found(folder, _GRAPHS)) and not any(_found(folder, _WEIGHTS))


def checked_accelerator(accelerator: str | None, model: Any) -> str | None:
    """The accelerator, where it is one and the model is not there yet.

    Raises:
        ValueError: for another name, or a model that torch computes.
    """
    if accelerator not in (None, "ort"):
        raise ValueError(f"accelerator is 'ort' (ONNX Runtime) or left out, not {accelerator!r}")
    if accelerator is None or model is None or isinstance(model, str):
        return accelerator
    if not hasattr(model, "sessions"):
        raise ValueError(
            "accelerator='ort' takes the name of a model, or one in ONNX Runtime: "
            "ORTModelForSequenceClassification.from_pretrained(...)"
        )
    return None


def _found(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    return (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder to write to, whose files move to `folder` when the block ends well.

    Files of the same names there are replaced, others stay. When the block raises, nothing is left.

    Raises:
        NotADirectoryError: where `folder` is a file.
        OSError: where nothing can be written.
    """
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; an exported model is a folder")
    refuse_unwritable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(folder.absolute())
    part.mkdir()
    try:
        yield part
        if folder.exists():
            for file in sorted(part.iterdir()):
                os.replace(file, folder / file.name)
        else:
            os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
