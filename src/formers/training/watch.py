"""What watches a run from the side: memory, signals, overflow, noise on embeddings."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class MemoryWatch:
    """Memory at the peak and at the end of each stage, in bytes, where it is asked for."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._before = _resident() if wanted else 0

    def measured(self, stage: str) -> dict[str, float]:
        """`<stage>_mem_cpu_alloc_delta`, `_cpu_peak`, and the same of a GPU."""
        if not self.wanted:
            return {}
        now = _resident()
        found: dict[str, float] = {
            f"{stage}_mem_cpu_alloc_delta": now - self._before,
            f"{stage}_mem_cpu_peak": _peak(),
        }
        self._before = now
        if torch.cuda.is_available():
            found[f"{stage}_mem_gpu_alloc"] = torch.cuda.memory_allocated()
            found[f"{stage}_mem_gpu_peak"] = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        return found


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            import os

            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak()


def _peak() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Signals:
    """Remembers SIGINT or SIGTERM instead of dying of it; a second one has its usual effect.

    Attributes:
        received: the signal, once it came.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _take(self, number: int, frame: Any) -> None:
        self.received = number
        self._put_back()


def empty_cache(device: torch.device) -> None:
    """Give memory that is held but not used back to the device."""
    backend = getattr(torch, device.type, None)
    if backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()


@contextlib.contextmanager
def add_noise(model: nn.Module, alpha: float | None) -> Iterator[None]:
    """Put uniform noise on the token embeddings while training.

    NEFTune, Jain et al. 2023, arXiv 2310.05914, section 2. Its bound is alpha / sqrt(T E) for T positions of
    width E.
    """
    if not alpha:
        yield
        return
    find = getattr(model, "get_input_embeddings", None)
    leaf = find() if callable(find) else None
    if not isinstance(leaf, nn.Module):
        raise ValueError(
            f"neftune_noise_alpha needs get_input_embeddings(), which {type(model).__name__} has not"
        )
    width = [1]

    def before(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        ids = keywords.get("input_ids", inputs[0] if inputs else None)
        if isinstance(ids, Tensor) and ids.dim() > 1:
            width[0] = ids.shape[-1]

    def noisy(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        bound = alpha / math.sqrt(width[0] * output.shape[-1])
        return output + torch.empty_like(output).uniform_(-bound, bound)

    hooks = [model.register_forward_pre_hook(before, with_kwargs=True), leaf.register_forward_hook(noisy)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def check_overflow(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Raise at the first module whose output is not finite, naming it and the largest value that went in."""
    if not wanted:
        yield
        return

    def watch(path: str) -> Any:
        def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            for tensor in _tensors(output):
                if not torch.isfinite(tensor).all():
                    largest = max(
                        (float(t.abs().max()) for t in _tensors(inputs) if t.numel()), default=math.nan
                    )
                    raise FloatingPointError(
                        f"{path or 'the model'} ({type(module).__name__}) gave a value that is not finite in "
                        f"{tensor.dtype}; the largest input was {largest:.4g}"
                    )

        return look

    hooks = [module.register_forward_hook(watch(path)) for path, module in model.named_modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _tensors(entry)
    elif hasattr(value, "values") and callable(value.values):
        for entry in value.values():
            yield from _tensors(entry)
