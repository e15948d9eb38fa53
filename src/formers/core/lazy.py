"""Names of a package that are looked up when they are first used: importing it imports nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def lazy(
    package: str,
    names: Mapping[str, Iterable[str]],
    absent: Callable[[str, str, list[str]], Exception] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """What a package says `__getattr__, __dir__ =` to.

    Args:
        package: its `__name__`.
        names: module (`.own` or whole path) -> what it defines.
        absent: makes the error for a name that is not there, of the package, it, and the names that are.
    """
    homes = {name: module for module, held in names.items() for name in held}

    def found(name: str) -> Any:
        if name not in homes:
            if absent is not None and not name.startswith("__"):
                raise absent(package, name, sorted(homes))
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return found, lambda: sorted({*vars(sys.modules[package]), *homes})
