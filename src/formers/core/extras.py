"""Optional packages: imported where they are used, and named when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtra(ImportError):
    """An optional package is not installed; the message says what to type."""


def need(module: str, extra: str, purpose: str = "") -> ModuleType:
    """Import `module`, which the extra `extra` of this package installs.

    Raises:
        MissingExtra: when the module cannot be found.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        why = f" for {purpose}" if purpose else ""
        raise MissingExtra(
            f"`{module}` is needed{why} but is not installed: pip install 'formers[{extra}]'"
        ) from error


def installed(module: str) -> bool:
    """Whether `module` can be found, without importing it."""
    from importlib.util import find_spec

    return find_spec(module) is not None
