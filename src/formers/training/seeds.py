"""Randomness: one seed for all generators, and their states taken and put back."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch (every device).

    Args:
        seed: any non-negative integer.
        deterministic: also make torch choose deterministic algorithms; one that has none raises when used.

    Raises:
        ValueError: for what is no such integer; nothing is seeded then.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"a seed is an integer from 0, not {seed!r}")
    random.seed(int(seed))
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        torch.use_deterministic_algorithms(True)


def enable_full_determinism(seed: int, warn_only: bool = False) -> None:
    """Seed everything and make every operation deterministic, at a cost in speed.

    Args:
        seed: any non-negative integer.
        warn_only: warn instead of raising where an operation has no deterministic form.
    """
    set_seed(seed)
    # read by CUDA when its context is made, so they must be set before the first kernel
    os.environ.setdefault("CUDA_LAUNCH_BLOCKING", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def seed_as(args: Any) -> None:
    """Seed everything as the arguments of a training run say."""
    (enable_full_determinism if args.full_determinism else set_seed)(args.seed)


def random_state(more: Sequence[torch.Generator] = ()) -> dict[str, Any]:
    """States of all generators, as plain numbers and tensors that `torch.load(weights_only=True)` reads.

    `more` are generators of a script's own, whose states go under "own".
    """
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "cpu": torch.get_rng_state(),
        **({"own": [generator.get_state() for generator in more]} if more else {}),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def apart(batches: Iterable[Any], seed: int) -> Iterator[Any]:
    """Go through `batches` while torch's generator is in a state of its own, which begins with `seed`.

    What a stream draws then does not hang on what a model draws between its batches.
    """
    own, iterator = torch.Generator().manual_seed(seed).get_state(), None
    while True:
        run = torch.get_rng_state()
        torch.set_rng_state(own)
        try:
            iterator = iter(batches) if iterator is None else iterator
            batch = next(iterator)
        except StopIteration:
            return
        finally:
            own = torch.get_rng_state()
            torch.set_rng_state(run)
        yield batch


def restore_random_state(state: dict[str, Any], more: Sequence[torch.Generator] = ()) -> None:
    """Put back what `random_state` took."""
    for generator, own in zip(more, state.get("own", ()), strict=False):
        generator.set_state(own)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.asarray(keys).astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        saved = state["cuda"]
        if isinstance(saved, torch.Tensor):
            torch.cuda.set_rng_state(saved)
        elif len(saved) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
