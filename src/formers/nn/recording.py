"""Whether the forward pass that runs is written down as a graph, or looked at from outside."""

from __future__ import annotations

from typing import Any

import torch


def recording() -> bool:
    """Whether `torch.compile`, `torch.export`, `torch.jit.trace` or `torch.func` transforms this call.

    What is recorded runs again on other inputs, so that nothing may be decided by the values of these.
    """
    return bool(torch.compiler.is_compiling() or torch._C._get_tracing_state() or transformed())


def transformed() -> bool:
    """Whether `torch.func` (grad, vmap, jvp) transforms this call."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def dispatched() -> bool:
    """Whether a mode, such as a counter of operations, wants to see every operator by its common name."""
    return bool(torch._C._len_torch_dispatch_stack())


class _Symbol:
    """A size that is a symbol, as part of a key: what is known of it may change while a graph is recorded."""

    def __init__(self, number: torch.SymInt) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Symbol) and str(self.number) == str(other.number)

    def __hash__(self) -> int:
        return 0


def by_sizes(*parts: object) -> tuple[object, ...]:
    """A key of sizes and the like, of which some are symbols while a graph is recorded."""
    return tuple(_Symbol(part) if isinstance(part, torch.SymInt) else part for part in parts)


def size(number: int) -> int:
    """A size that is a symbol while a graph is recorded stays one, so that the graph serves other sizes."""
    kept: Any = number
    return kept if isinstance(kept, torch.SymInt) else int(kept)  # type: ignore[return-value]  # it is one to all
