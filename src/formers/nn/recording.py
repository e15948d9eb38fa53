"""Whether the forward pass that runs is written down as a graph, or looked at from outside."""

from __future__ import annotations

from collections.abc import Callable
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


class Listed:
    """What is held under keys of sizes while `torch.compile` records: compared, and never hashed.

    A number that is hashed, or whose comparison is decided, is fixed: the graph would serve that alone.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[object, ...], Any]] = []

    def once(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """The value under `key`, made where it is missing."""
        for known, value in self._entries:
            if len(known) == len(key) and all(_same(a, b) for a, b in zip(known, key, strict=True)):
                return value
        value = make()
        self._entries.append((key, value))
        return value


def _same(a: object, b: object) -> bool:
    """Whether two parts of keys are the same for every size that the graph serves."""
    if isinstance(a, int) and isinstance(b, int):
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(a == b)
    return a == b


def by_sizes(*parts: object) -> tuple[object, ...]:
    """A key of sizes and the like, of which some are symbols while a graph is recorded."""
    return tuple(_Symbol(part) if isinstance(part, torch.SymInt) else part for part in parts)


def size(number: int) -> int:
    """A size that is a symbol while a graph is recorded stays one, so that the graph serves other sizes."""
    kept: Any = number
    return kept if isinstance(kept, torch.SymInt) else int(kept)  # type: ignore[return-value]  # it is one to all
