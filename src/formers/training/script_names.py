"""Functions and names that scripts import from beside the Trainer."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.fields import Choice
from formers.core.nested import mapped, padded_cat
from formers.training import files, state
from formers.training.callbacks import DefaultFlowCallback
from formers.training.data.samplers import grouped_by_length
from formers.training.evaluator import speed
from formers.training.results import to_numpy
from formers.training.search import default_objective, default_space
from formers.training.seeds import set_seed

PREFIX_CHECKPOINT_DIR = files.PREFIX
TRAINER_STATE_NAME = state.STATE
TRAINING_ARGS_NAME = files.ARGUMENTS
OPTIMIZER_NAME, SCHEDULER_NAME, SCALER_NAME = files.OPTIMIZER, files.SCHEDULER, files.SCALER
# what accelerate writes for FSDP and DeepSpeed beside them
OPTIMIZER_NAME_BIN, FSDP_MODEL_NAME = "optimizer.bin", "pytorch_model_fsdp"

# what a Trainer without callbacks of one's own calls
DEFAULT_CALLBACKS = [DefaultFlowCallback]

default_compute_objective = default_objective
default_hp_space_optuna = default_space


class ParallelMode(Choice):
    """How many devices and processes share the work; `TrainingArguments.parallel_mode`."""

    NOT_PARALLEL = "not_parallel"
    NOT_DISTRIBUTED = "not_distributed"
    DISTRIBUTED = "distributed"


def is_main_process(local_rank: int) -> bool:
    """Whether a process is the first on its machine, or the only one (-1)."""
    return local_rank in (-1, 0)


def is_local_dist_rank_0() -> bool:
    """Whether this is the first process on its machine, of a run of several that has begun."""
    distributed = torch.distributed
    begun = distributed.is_available() and distributed.is_initialized()
    return begun and int(os.environ.get("LOCAL_RANK", "-1")) == 0


def remove_dummy_checkpoint(is_main_process: bool, output_dir: str | Path, filenames: Iterable[str]) -> None:
    """Remove files of a folder that are there, in the main process alone."""
    if is_main_process:
        for name in filenames:
            (Path(output_dir) / name).unlink(missing_ok=True)


def get_length_grouped_indices(
    lengths: Sequence[int],
    batch_size: int,
    mega_batch_mult: int | None = None,
    generator: torch.Generator | None = None,
) -> list[int]:
    """A random order in which neighbours are of like length; the longest example comes first.

    Args:
        lengths: length of each example.
        batch_size: examples per step.
        mega_batch_mult: batches per chunk that is sorted; None: at most 50, fewer for a small set.
        generator: of the shuffle; None for torch's own.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator))
    return grouped_by_length(lengths, batch_size, seed, mega_batch_mult)


def speed_metrics(
    split: str,
    start_time: float,
    num_samples: float | None = None,
    num_steps: float | None = None,
    num_tokens: float | None = None,
) -> dict[str, float]:
    """Seconds since `start_time` (of `time.time`), and what was done per second, named by `split`."""
    start = time.perf_counter() - (time.time() - start_time)
    return speed(split, start, num_samples, num_steps, num_tokens)


def seed_worker(worker_id: int, num_workers: int, rank: int) -> None:
    """Seed a worker of a loader: `worker_init_fn=partial(seed_worker, num_workers=..., rank=...)`."""
    set_seed((torch.initial_seed() + num_workers * rank) % 2**32)


def number_of_arguments(func: Callable[..., Any]) -> int:
    """How many parameters a function has; `self` of a bound method does not count."""
    return len(inspect.signature(func).parameters)


def get_parameter_names(
    model: nn.Module,
    forbidden_layer_types: Iterable[type],
    forbidden_layer_names: Iterable[str] | None = None,
) -> list[str]:
    """Names of the parameters that are not in modules of some kinds, and match no pattern.

    Args:
        model: the model.
        forbidden_layer_types: kinds of modules whose parameters are left out.
        forbidden_layer_names: regular expressions; names that one of them is found in are left out.
    """
    import re

    kinds = tuple(forbidden_layer_types)
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in forbidden_layer_names or ()]
    inside = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, kinds)
        for parameter in module.parameters()
    }
    named = ((name, parameter) for name, parameter in model.named_parameters() if id(parameter) not in inside)
    return [name for name, _ in named if not any(pattern.search(name) for pattern in patterns)]


def get_model_param_count(model: nn.Module, trainable_only: bool = False) -> int:
    """How many numbers a model learns, or holds as parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


def nested_detach(tensors: Any) -> Any:
    """A nest of tensors, taken out of the graph."""
    return mapped(lambda tensor: tensor.detach(), tensors)


def nested_numpify(tensors: Any) -> Any:
    """A nest of tensors as arrays; bfloat16 as float32."""
    return mapped(to_numpy, tensors)


def nested_gather(tensors: Any, parallel_mode: Any = None, name: str | None = None) -> Any:
    """A nest of tensors with those of all processes, along the first axis.

    Args:
        tensors: the nest; tensors have the same shape in every process.
        parallel_mode: not needed: whether there are other processes is seen.
        name: not needed.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return tensors

    def gathered(tensor: Tensor) -> Tensor:
        row = (tensor if tensor.dim() else tensor[None]).contiguous()
        parts = [torch.empty_like(row) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, row)
        return torch.cat(parts)

    return mapped(gathered, tensors)


def nested_concat(tensors: Any, new_tensors: Any, padding_index: int = -100) -> Any:
    """Two nests of the same shape joined along the first axis, the second axis padded to the wider one.

    Raises:
        TypeError: for nests of different kinds.
    """
    if type(tensors) is not type(new_tensors):
        raise TypeError(
            f"a {type(tensors).__name__} and a {type(new_tensors).__name__} cannot be joined: both sides of "
            "nested_concat have one form"
        )
    if isinstance(tensors, Mapping):
        joined = {
            key: nested_concat(value, new_tensors[key], padding_index) for key, value in tensors.items()
        }
        return type(tensors)(**joined)
    if isinstance(tensors, (list, tuple)):
        pairs = zip(tensors, new_tensors, strict=True)
        return type(tensors)(nested_concat(one, other, padding_index) for one, other in pairs)
    if isinstance(tensors, Tensor):
        both = [one if one.dim() else one[None] for one in (tensors, new_tensors)]
        return padded_cat(both, padding_index)
    return nested_concat(torch.from_numpy(tensors), torch.from_numpy(new_tensors), padding_index).numpy()
