"""Whether the forward pass that runs is written down as a graph."""

from __future__ import annotations

import torch


def recording() -> bool:
    """Whether `torch.compile`, `torch.export` or `torch.jit.trace` is recording this call.

    What is recorded runs again on other inputs, so that nothing may be decided by the values of these.
    """
    return bool(torch.compiler.is_compiling() or torch._C._get_tracing_state())
