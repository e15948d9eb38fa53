"""Where this runs: versions of the packages that decide results, and the hardware."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

# Those that can change an answer or a figure; the extras among them are listed only where installed.
PACKAGES = (
    "formers",
    "torch",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "accelerate",
    "datasets",
    "scikit-learn",
    "fastapi",
    "uvicorn",
    "onnxruntime",
    "transformers",
)


# Those whose version goes into model cards, golden files and reports.
DECIDING = ("formers", "torch", "tokenizers", "safetensors", "numpy", "accelerate", "datasets")


def environment(*, accelerators: bool = True) -> dict[str, Any]:
    """Describe the interpreter, the packages and the machine, for `formers env`, model cards and benchmarks.

    Args:
        accelerators: Ask torch for its accelerators too, which imports it.

    Returns:
        `python` and `platform` (text), `packages` (name -> version, None where absent), `hardware` (`cpu`,
        `cores` usable by this process, `memory_gib`) and, if asked for, `accelerators` (one text each).
    """
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "hardware": {"cpu": _cpu(), "cores": _cores(), "memory_gib": _memory()},
    }
    if accelerators:
        found["accelerators"] = _accelerators()
    return found


def deciding_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a model's numbers, where installed."""
    found = {name: version(name) for name in DECIDING}
    return {"python": platform.python_version()} | {name: v for name, v in found.items() if v is not None}


def version(package: str) -> str | None:
    """The installed version of `package`, None when it is not installed. Imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def _accelerators() -> list[str]:
    import torch

    found = []
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            found.append(
                f"cuda:{i} {about.name}, {about.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
            )
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
