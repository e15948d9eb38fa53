"""Checkpoints of sharded runs and of whole ones, each read by the other, by torch.distributed.checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from formers.training import files

FOLDER = "sharded"  # in a checkpoint: what accelerate's `save_state` wrote
_OPTIMIZER, _WHOLE_OPTIMIZER = "optimizer_0", "optimizer.bin"  # accelerate's names, of shards and of one file


def has_optimizer(folder: Path) -> bool:
    """Whether a checkpoint holds the optimizer of a run that sharded with FSDP."""
    return any((folder / FOLDER / name).exists() for name in (_OPTIMIZER, _WHOLE_OPTIMIZER))


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Put the state that shards hold, of however many processes, into the optimizer of a whole model."""
    from torch.distributed.checkpoint import filesystem, state_dict_loader
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_optimizer_state_dict,
    )

    held, options = folder / FOLDER, StateDictOptions(full_state_dict=True)
    if (held / _OPTIMIZER).is_dir():
        state = {"optimizer": get_optimizer_state_dict(model, optimizer, options=options)}
        reader = filesystem.FileSystemReader(held / _OPTIMIZER)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # every process reads all
            state_dict_loader.load(state, storage_reader=reader, no_dist=True)
        whole = state["optimizer"]
    else:
        whole = files.read_tensors(held / _WHOLE_OPTIMIZER)
    set_optimizer_state_dict(model, optimizer, whole, options=options)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put whole weights into a sharded model.

    Raises:
        OSError: where the folder holds no weights.
        RuntimeError: where names or shapes differ.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    tensors = files.read_weights(folder)
    set_model_state_dict(model, tensors, options=StateDictOptions(full_state_dict=True, strict=True))


def cut(state: dict[str, Any], parameters: list[Any]) -> dict[str, Any]:
    """An optimizer's state dict whose tensors are cut as the `parameters` that it counts are."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    def shard(value: Any, parameter: Any) -> Any:
        alike = isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim() > 0
        if not (alike and isinstance(parameter, DTensor)):
            return value
        value = value.to(parameter.device)
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)

    cut_state = {
        index: {key: shard(value, parameters[index]) for key, value in entries.items()}
        for index, entries in state["state"].items()
    }
    return {**state, "state": cut_state}
