"""Decorators of tests that run where what they need is there: `require_torch`, `slow`, ..."""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable
from typing import Any

from formers.core import available

# decorator -> the question that it asks, where that is not `is_..._available`
_QUESTIONS = {
    "require_torch_gpu": "is_torch_cuda_available",
    "require_torch_accelerator": "is_torch_cuda_available",
    "require_bitsandbytes": "is_bitsandbytes_available",
    "require_vision": "is_vision_available",
    "require_ray": "is_ray_available",
}


def slow(test_case: Any) -> Any:
    """A test that is skipped unless the environment variable RUN_SLOW says otherwise."""
    wanted = os.environ.get("RUN_SLOW", "").lower() in ("1", "true", "yes", "y", "on")
    return unittest.skipUnless(wanted, "slow; RUN_SLOW=1 runs it")(test_case)


def require_torch_multi_gpu(test_case: Any) -> Any:
    """A test that is skipped without a second GPU."""
    import torch

    return unittest.skipUnless(torch.cuda.device_count() > 1, "needs several GPUs")(test_case)


def _requires(name: str) -> Callable[[Any], Any]:
    asked = _QUESTIONS.get(name, f"is_{name.removeprefix('require_')}_available")
    getattr(available, asked)  # a question that is none is no name of a decorator either
    said = f"needs what {asked} asks for"

    def decorated(test_case: Any) -> Any:
        return unittest.skipUnless(getattr(available, asked)(), said)(test_case)

    decorated.__name__ = decorated.__qualname__ = name
    decorated.__doc__ = f"A test that is skipped where `{asked}` says no."
    return decorated


def __getattr__(name: str) -> Any:
    if name == "torch_device":
        from formers.core.devices import infer_device

        value: Any = infer_device()
    elif name.startswith("require_"):
        value = _requires(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
