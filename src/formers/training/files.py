"""Checkpoints of a run: written whole or not at all, read without executing anything."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from formers.core.atomic import sync_file, sync_folder
from formers.core.notices import notice
from formers.hub import Source
from formers.training.state import STATE

PREFIX = "checkpoint"
_FOLDER = re.compile(rf"^{PREFIX}-(\d+)$")
_PARTIAL = ".partial"
_TRASH = ".trash"

OPTIMIZER = "optimizer.pt"
SCHEDULER = "scheduler.pt"
SCALER = "scaler.pt"
ARGUMENTS = "training_args.bin"
ARGUMENTS_JSON = "training_args.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS_BIN = "pytorch_model.bin"


def random_state_file(process: int, processes: int) -> str:
    """Name of the file with the generators' states of a process."""
    return "rng_state.pth" if processes == 1 else f"rng_state_{process}.pth"


# ---- folders -------------------------------------------------------------------------------------


def sync(folder: Path) -> None:
    """Have the disk hold a folder and all that is in it."""
    for inner in folder.iterdir():
        sync(inner) if inner.is_dir() else sync_file(inner)
    sync_folder(folder)


def partial_folder(folder: Path) -> Path:
    """Where a checkpoint is put together before it gets its name."""
    return folder.with_name(f".{folder.name}{_PARTIAL}")


@contextmanager
def whole_folder(folder: Path, *, first: bool = True, wait: Any = None) -> Iterator[Path]:
    """Build a folder beside its place and give it its name when all is on the disk.

    Killed at any moment, the place holds what it held before, or all of the new. On an error the
    leftovers are removed.

    Args:
        folder: the final place.
        first: whether this process makes, syncs and renames; the others just write into it.
        wait: called where all processes must have come to the same point.
    """
    wait = wait or (lambda: None)
    beside = partial_folder(folder)
    if first:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
    wait()
    try:
        yield beside
    except BaseException:
        if first:
            shutil.rmtree(beside, ignore_errors=True)
        raise
    wait()
    if first:
        sync(beside)
        _make_room(folder)
        os.rename(beside, folder)
        sync_folder(folder.parent)
    wait()


def _make_room(folder: Path) -> None:
    """Take an older checkpoint out of a new one's place; what is none is moved aside."""
    if (folder / STATE).is_file():
        remove_folder(folder)
    elif os.path.lexists(folder):
        number = 1
        while os.path.lexists(aside := folder.with_name(f"{folder.name}.{number}")):
            number += 1
        os.rename(folder, aside)
        notice(f"{folder} held no {STATE}, so it was no checkpoint: it is {aside.name} now.")


def remove_folder(folder: Path) -> None:
    """Remove a checkpoint such that a kill half way leaves nothing that looks like one; of a link, that."""
    if folder.is_symlink():
        folder.unlink()
        return
    away = folder.with_name(f".{folder.name}{_TRASH}")
    shutil.rmtree(away, ignore_errors=True)
    os.rename(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def clean_leftovers(output_dir: Path) -> None:
    """Remove what killed processes left half written or half deleted."""
    if output_dir.is_dir():
        for entry in output_dir.iterdir():
            if entry.name.startswith(f".{PREFIX}-") and entry.name.endswith((_PARTIAL, _TRASH)):
                shutil.rmtree(entry, ignore_errors=True)


def checkpoints(output_dir: str | Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = Path(output_dir)
    if not folder.is_dir():
        return []
    found = [(int(match[1]), entry) for entry in folder.iterdir() if (match := _FOLDER.match(entry.name))]
    return [entry for _, entry in sorted(found) if entry.is_dir() and (entry / STATE).is_file()]


def get_last_checkpoint(folder: str | Path) -> str | None:
    """Path of the newest whole checkpoint in `folder`, or None."""
    found = checkpoints(folder)
    return str(found[-1]) if found else None


def rotate(output_dir: Path, limit: int | None, best: str | None, newest: Path | None = None) -> None:
    """Remove the oldest checkpoints past `limit`; the best and the newest stay.

    With a limit of 1 and a best that is not the newest, two stay: one to resume from, one to load. Where
    the newest has not the highest number, those above it are of an earlier run, and go first.
    """
    found = checkpoints(output_dir)
    if not limit or not found:
        return
    newest = (newest or found[-1]).resolve()
    kept = {newest} | ({Path(best).resolve()} if best is not None else set())
    resolved = [entry.resolve() for entry in found]
    after = resolved.index(newest) + 1 if newest in resolved else 0
    removable = [entry for entry in (*found[after:], *found[:after]) if entry.resolve() not in kept]
    for entry in removable[: max(0, len(found) - limit)]:
        remove_folder(entry)


# ---- contents ------------------------------------------------------------------------------------


def read_tensors(path: Path, device: str | torch.device = "cpu") -> Any:
    """Read a file of tensors, plain values and numpy's arrays and numbers; nothing in it can be executed."""
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        if "weights_only" in str(error) or "Unsupported" in str(error) or "unpickl" in str(error).lower():
            raise ValueError(
                f"{path} holds objects other than tensors and plain values, which this library does not "
                "load, since doing so can run code. Start from the weights instead: leave "
                "resume_from_checkpoint out and load the folder with from_pretrained"
            ) from error
        raise


def _numpy_globals() -> list[Any]:
    """What pickles of numpy's arrays and numbers name: all of it holds data and does nothing else."""
    kinds = [type(np.dtype(name)) for name in ("uint32", "int64", "float32", "float64")]
    # the two functions have no public name that is the same in numpy 1 and 2
    return [np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0], np.ndarray, np.dtype, *kinds]


def save_weights(model: nn.Module, folder: Path, state_dict: dict[str, Any] | None, safe: bool) -> None:
    """Write a model's weights: by its `save_pretrained`, or its state dict where it has none."""
    if hasattr(model, "save_pretrained"):
        kwargs: dict[str, Any] = {} if safe else {"safe_serialization": False}
        if state_dict is not None:
            kwargs["state_dict"] = state_dict
        save: Any = model.save_pretrained
        save(str(folder), **kwargs)
    elif safe:
        from safetensors.torch import save_file, save_model

        if state_dict is None:
            save_model(model, str(folder / WEIGHTS), metadata={"format": "pt"})
        else:
            whole = {name: tensor.contiguous() for name, tensor in state_dict.items()}
            save_file(whole, str(folder / WEIGHTS), metadata={"format": "pt"})
    else:
        torch.save(state_dict if state_dict is not None else model.state_dict(), folder / WEIGHTS_BIN)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put a checkpoint's weights into `model`, in place.

    Raises:
        OSError: where the folder holds no weights.
        RuntimeError: where names or shapes differ; all of them are listed.
    """
    try:
        tensors = read_weights(folder)
    except OSError:
        load: Any = getattr(model, "load_adapter_weights", None)
        if load is None or not (folder / "adapter_model.safetensors").is_file():
            raise
        load(str(folder))
    else:
        _put(model, tensors)


def read_weights(folder: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by their names there.

    Raises:
        OSError: where the folder holds no weights.
    """
    from formers.checkpoints import TensorFiles, find_weights

    held = TensorFiles.of(find_weights(Source.of(str(folder))))
    return {name: held.tensor(name) for name in held.names()}


@torch.no_grad()
def _put(model: nn.Module, tensors: dict[str, Any]) -> None:
    """Copy tensors into parameters and buffers; names that share storage need be there once."""
    own = model.state_dict(keep_vars=True)
    wrong = [
        f"{name}: the checkpoint has {tuple(tensors[name].shape)}, the model {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    wrong += [f"{name}: in the checkpoint, not in the model" for name in tensors if name not in own]
    filled = {own[name].data_ptr() for name in own if name in tensors}
    wrong += [
        f"{name}: in the model, not in the checkpoint"
        for name, tensor in own.items()
        if name not in tensors and tensor.numel() and tensor.data_ptr() not in filled
    ]
    if wrong:
        raise RuntimeError("the checkpoint does not fit the model:\n  " + "\n  ".join(wrong))
    for name, tensor in tensors.items():
        own[name].data.copy_(tensor)
