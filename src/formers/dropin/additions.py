"""Names that other packages once had and old scripts still take from them."""

from __future__ import annotations

import importlib
import logging
import sys
from importlib import machinery
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from formers.core.logging import info_once, warning_once


def load_metric(path: str, *args: Any, **options: Any) -> Any:
    """A metric by name, as `datasets.load_metric` gave it; see `formers.evaluation.load_metric`."""
    from formers.evaluation import load_metric as load

    return load(path, *args, **options)


# package -> what it gets where it has no such name
ADDED: dict[str, dict[str, Any]] = {"datasets": {"load_metric": load_metric}}
# package -> modules that it uses without importing them: the ecosystem had done so before
LOADED = {"peft": ("torch.distributed.tensor",)}
# package -> its classes, and those here whose objects its helpers may take for theirs
TAKEN_FOR = {
    "peft": (
        ("peft.tuners.tuners_utils", "BaseTunerLayer", "formers.adapters.layer", "AdapterLayer"),
        ("peft.tuners.lora.layer", "LoraLayer", "formers.adapters.lora.layers", "LoraLayer"),
    )
}


class _Waiting:
    """Puts names into packages right after they are imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in ADDED and name not in LOADED:
            return None
        spec = machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _fill(module)

        loader.exec_module = exec_module
        return spec


def add() -> None:
    """Fill in packages that are imported, and those that will be; loggers of Python can say a thing once."""
    sys.meta_path.insert(0, _Waiting)
    for say in (warning_once, info_once):
        if not hasattr(logging.Logger, say.__name__):
            setattr(logging.Logger, say.__name__, say)
    for name in (*ADDED, *LOADED):
        if name in sys.modules:
            _fill(sys.modules[name])


def remove() -> None:
    """Take it all back, but for what is taken for another: classes do not forget that."""
    if _Waiting in sys.meta_path:
        sys.meta_path.remove(_Waiting)
    for say in (warning_once, info_once):
        if vars(logging.Logger).get(say.__name__) is say:
            delattr(logging.Logger, say.__name__)
    for package, names in ADDED.items():
        held = vars(sys.modules.get(package, ModuleType(package)))
        for name, value in names.items():
            if held.get(name) is value:
                del held[name]


def _fill(module: ModuleType) -> None:
    for needed in LOADED.get(module.__name__, ()):
        importlib.import_module(needed)
    for name, value in ADDED.get(module.__name__, {}).items():
        if not hasattr(module, name):
            setattr(module, name, value)
    for home, name, here, own in TAKEN_FOR.get(module.__name__, ()):
        theirs: Any = getattr(importlib.import_module(home), name, None)
        if hasattr(theirs, "register"):  # an abstract class
            theirs.register(getattr(importlib.import_module(here), own))
