"""Transformers, built again from shared blocks.

Importing this package imports no torch, and little else: every public name is found in one table
(`public.py`), and its module is loaded when the name is first used.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # of `typing`, which is dearer to import than all that is done here
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__version__ = "0.1.0"


def _load(name: str) -> ModuleType:
    """Import a module with the garbage collector at rest."""
    from formers.core.collector import resting

    with resting():
        return importlib.import_module(name)


def __getattr__(name: str) -> Any:
    module = None if name.startswith("__") else _module_of().get(name)
    if module is not None:
        value = getattr(_load(module), name)
    elif name == "__all__":  # `from formers import *`, as old tutorials have it
        value = _public()
    elif name.startswith("__"):
        raise AttributeError(f"module 'formers' has no attribute {name!r}")
    elif name[0].islower() and _is_submodule(name):
        value = _load(f"formers.{name}")
    else:
        value = _derived(name)
    globals()[name] = value
    return value


def _module_of() -> dict[str, str]:
    found: dict[str, str] = _load("formers.public").MODULE_OF
    return found


def _is_submodule(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"formers.{name}") is not None


class _Paths:
    """Finds modules of older paths, such as `formers.trainer_utils`, in the table of `paths.py`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if not name.startswith("formers.") or name == "formers.paths":
            return None
        return _load("formers.paths").spec_of(name)


sys.meta_path.append(_Paths)


def _derived(name: str) -> Any:
    """Find a class that a model family or a tokenizer recipe gives its name to."""
    names = _load("formers.names")
    found = names.find(name)
    try:
        if found is not None:
            return getattr(_load(found[0]), found[1])
        why = names.reason_of_absence(name)
        if not why and name[0].islower():  # `from formers import masking_utils`
            why = _load("formers.paths").reason_of_absence(name)
    except AttributeError as error:  # a name of a family that has no such class; the text names the nearest
        why = names.reason_of_absence(name) or str(error).partition(repr(name))[2]
    if found is None and not why:
        from formers.core.notices import did_you_mean

        why = did_you_mean(name, [*_module_of(), *(names.known() if name[0].isupper() else ())])
    if sys._getframe(2).f_code.co_name == "_handle_fromlist":
        # `from formers import ...` would drop the text of an AttributeError
        raise ImportError(f"cannot import name {name!r} from 'formers'{why}", name="formers")
    raise AttributeError(f"module 'formers' has no attribute {name!r}{why}")


def _public() -> list[str]:
    return sorted({*_module_of(), *_load("formers.names").known()})


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})
