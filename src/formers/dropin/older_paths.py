"""Modules of the table of paths under the name of another package."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from formers.dropin import compared, elsewhere
from formers.paths import PathLoader


class Path(PathLoader):
    """A module of the table of paths.

    Args:
        absent: makes the error for a name that is not there.
    """

    def __init__(self, absent: Callable[..., Exception]) -> None:
        self._absent = absent

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module in, with reasons for what it has not got."""
        super().exec_module(module)
        find = module.__dict__["__getattr__"]

        def found(name: str) -> Any:
            try:
                return find(name)
            except (AttributeError, ImportError) as error:
                if name in compared.NAMES:
                    return compared.named(name)
                if elsewhere.has(module.__name__.partition(".")[2], name):
                    return elsewhere.named(name)
                if name.startswith("__") or isinstance(error, ImportError):
                    raise
                raise self._absent(module, name, [], str(error).partition(repr(name))[2]) from None

        module.__dict__["__getattr__"] = found
