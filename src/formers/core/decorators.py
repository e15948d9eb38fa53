"""Decorators of the ecosystem that add to docstrings, rename keywords, and return tuples on request."""

from __future__ import annotations

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def add_start_docstrings(*docstr: str) -> Callable[[F], F]:
    """Put texts in front of a docstring."""

    def add(function: F) -> F:
        function.__doc__ = "".join(docstr) + (function.__doc__ or "")
        return function

    return add


def add_end_docstrings(*docstr: str) -> Callable[[F], F]:
    """Put texts behind a docstring."""

    def add(function: F) -> F:
        function.__doc__ = (function.__doc__ or "") + "".join(docstr)
        return function

    return add


def add_start_docstrings_to_model_forward(*docstr: str) -> Callable[[F], F]:
    """Put texts in front of the docstring of a `forward`, behind a line that names its class."""

    def add(function: F) -> F:
        owner = function.__qualname__.rpartition(".")[0]
        intro = f"The [`{owner}`] forward method.\n" if owner else ""
        function.__doc__ = intro + "".join(docstr) + (function.__doc__ or "")
        return function

    return add


def replace_return_docstrings(output_type: Any = None, config_class: Any = None) -> Callable[[F], F]:
    """Put what is returned where a docstring has an empty `Returns:`.

    Raises:
        ValueError: for a docstring without one.
    """

    def add(function: F) -> F:
        said = function.__doc__ or ""
        found = re.search(r"^([ \t]*)Returns?:[ \t]*$", said, re.MULTILINE)
        if found is None:
            raise ValueError(f"the docstring of {function.__qualname__} has no empty 'Returns:' to fill in")
        about = (getattr(output_type, "__doc__", None) or "").strip()
        text = textwrap.indent(
            f"[`{getattr(output_type, '__name__', output_type)}`]: {about}", found[1] + "    "
        )
        function.__doc__ = f"{said[: found.end()]}\n{text}{said[found.end() :]}"
        return function

    return add


def add_code_sample_docstrings(
    *docstr: str,
    checkpoint: str | None = None,
    output_type: Any = None,
    config_class: Any = None,
    **about: Any,
) -> Callable[[F], F]:
    """Put texts and an example of loading `checkpoint` behind a docstring; `about` is not read."""

    def add(function: F) -> F:
        owner = function.__qualname__.rpartition(".")[0] or function.__qualname__
        example = (
            f'\n\nExample:\n\n    model = {owner}.from_pretrained("{checkpoint}")\n' if checkpoint else ""
        )
        function.__doc__ = (function.__doc__ or "") + "".join(docstr) + example
        return function

    return add


def deprecate_kwarg(
    old_name: str,
    version: str,
    new_name: str | None = None,
    warn_if_greater_or_equal_version: bool = False,
    raise_if_greater_or_equal_version: bool = False,
    raise_if_both_names: bool = False,
    additional_message: str | None = None,
) -> Callable[[F], F]:
    """Take a keyword under an older name, with a FutureWarning.

    Args:
        old_name: the older name.
        version: when it goes away, for the message.
        new_name: the name that it is handed on under; None drops it.
        warn_if_greater_or_equal_version: not read: the warning is always given.
        raise_if_greater_or_equal_version: refuse the older name.
        raise_if_both_names: refuse both names at once; otherwise the newer one counts.
        additional_message: goes into the message.

    Raises:
        ValueError: where the call is to be refused.
    """

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if old_name in kwargs:
                instead = f"; use {new_name!r}" if new_name else ""
                text = f"{old_name!r} is deprecated and will be removed in version {version}{instead}"
                text += f". {additional_message}" if additional_message else ""
                both = new_name is not None and new_name in kwargs
                if raise_if_greater_or_equal_version or (both and raise_if_both_names):
                    raise ValueError(text)
                warnings.warn(text, FutureWarning, stacklevel=2)
                value = kwargs.pop(old_name)
                if new_name is not None and not both:
                    kwargs[new_name] = value
            return function(*args, **kwargs)

        return called  # type: ignore[return-value]  # functools.wraps keeps the signature

    return wrap


def can_return_tuple(function: F) -> F:
    """Let a method that returns a record return a tuple where `return_dict`, or the config, says False."""

    @functools.wraps(function)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = kwargs.pop("return_dict", None)
        if wanted is None:
            wanted = getattr(getattr(self, "config", None), "return_dict", True)
        output = function(self, *args, **kwargs)
        return output if wanted or isinstance(output, tuple) else output.to_tuple()

    return called  # type: ignore[return-value]  # functools.wraps keeps the signature


def copy_func(f: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function, whose docstring can be changed by itself."""
    import types

    made = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    made.__kwdefaults__ = f.__kwdefaults__
    return functools.update_wrapper(made, f)


class ContextManagers:
    """Several context managers as one."""

    def __init__(self, context_managers: Iterable[Any]) -> None:
        self.context_managers = list(context_managers)
        self.stack = ExitStack()

    def __enter__(self) -> None:
        for manager in self.context_managers:
            self.stack.enter_context(manager)

    def __exit__(self, *args: Any) -> Any:
        return self.stack.__exit__(*args)
