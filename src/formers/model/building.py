"""Models made without storage, so that no weights are drawn only to be thrown away.

Only the library's own constructors leave storage out. What a class of one's own makes around them is made as
written: values that its constructor computes are there, whether a checkpoint holds them or not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# "whole"; "empty" while a model is made for a checkpoint; "inside" in a constructor of the library then
_how: ContextVar[str] = ContextVar("how models are made", default="whole")
_DRAWING = ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_",
            "xavier_uniform_", "xavier_normal_", "orthogonal_")  # fmt: skip


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are where functions of `torch.nn.init` draw."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWING:
            target = args[0] if args else given.get("tensor")
            if isinstance(target, torch.Tensor):
                return target
        return func(*args, **given)


class _NothingDrawn(TorchFunctionMode):
    """Lets modules be made without drawing their weights.

    On the meta device drawing has no effect, but torch imports its compiler, which takes seconds, to do it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in _DRAWING:
            target = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(target, torch.Tensor) and target.is_meta:
                return target
        return func(*args, **(kwargs or {}))


@contextmanager
def no_init_weights(_enable: bool = True) -> Iterator[None]:
    """Models made in this `with` have their storage, and what lies in it: nothing is drawn.

    Args:
        _enable: False changes nothing.
    """
    token = _how.set("undrawn" if _enable else _how.get())
    try:
        with _Undrawn() if _enable else nullcontext():
            yield
    finally:
        _how.reset(token)


@contextmanager
def for_a_checkpoint() -> Iterator[None]:
    """Models made in this `with` get their values from a checkpoint afterwards."""
    token = _how.set("empty")
    try:
        yield
    finally:
        _how.reset(token)


def is_for_a_checkpoint() -> bool:
    """Whether the model that is being made gets its values afterwards."""
    return _how.get() != "whole"


def may_be_empty(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor of the library work on the meta device where a checkpoint brings the values."""

    @functools.wraps(init)
    def made(self: Any, *args: Any, **options: Any) -> None:
        if _how.get() != "empty":
            init(self, *args, **options)
            return
        token = _how.set("inside")
        try:
            with torch.device("meta"), _NothingDrawn():
                init(self, *args, **options)
        finally:
            _how.reset(token)

    return made
