"""Makes the modules of the packages that formers stands for, when they are first imported."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec

from formers.dropin import packages as choice

TYPE_CHECKING = False  # of `typing`; see `packages`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType
    from typing import Any


class Finder:
    """What `sys.meta_path` holds while formers stands for packages.

    Attributes:
        asked: the version that a person chose, None where it follows from what is installed.
        chosen: the packages that a person chose, None where they follow likewise.
    """

    def __init__(self, version: str | None, packages: tuple[str, ...] | None) -> None:
        self.asked, self.chosen = choice.checked_version(version), packages

    @property
    def packages(self) -> tuple[str, ...]:
        """The names of the packages."""
        return choice.wanted_packages(None) if self.chosen is None else self.chosen

    @property
    def version(self) -> str:
        """The version of transformers that is claimed."""
        return self.asked or choice.accepted_version()

    def stands_for(self, module: str) -> bool:
        """Whether a module belongs to one of the packages."""
        root = module.partition(".")[0]
        if root not in choice.PACKAGES:
            return False
        return choice.is_free(root) if self.chosen is None else root in self.chosen

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module; None for others, and for those that formers has not got.

        Raises:
            ModuleNotFoundError: where such a one is imported, with the reason.
        """
        if not self.stands_for(name):
            if name in choice.COMPLETED:
                from formers.dropin import additions

                return additions.spec_of(name)
            return None
        root, _, rest = name.partition(".")
        if root == "optimum":
            from formers.dropin import optimum_names

            if rest in optimum_names.PATHS:
                return _spec(
                    name, _Other("optimum"), origin="formers", is_package=optimum_names.is_package(rest)
                )
            if _is_imported(sys._getframe(2)):
                raise ModuleNotFoundError(f"No module named {name!r}: {_NO_OPTIMUM}", name=name)
            return None
        if root == "peft":
            from formers.dropin import peft_names

            if rest in peft_names.PATHS:
                return _spec(name, _Other("peft"), origin="formers", is_package=peft_names.is_package(rest))
            if rest and _is_imported(sys._getframe(2)):
                why = "of its parts, adapters in formers have " + ", ".join(sorted(peft_names.PATHS)[1:])
                raise ModuleNotFoundError(f"No module named {name!r}: {why}", name=name)
            return None
        if not rest:
            return _spec(name, _Root(self), origin=sys.modules["formers"].__file__, is_package=True)
        if rest in _MIRRORED:
            return _spec(name, _Mirror(rest), origin="formers", is_package=True)
        from formers import paths

        found = paths.spec_of(name)
        if found is None and sys._getframe(2).f_code.co_name == "_find_and_load_unlocked":
            raise ModuleNotFoundError(
                f"No module named {name!r}: formers has no module of that path; `formers doctor` says of a "
                "project's sources what is there and what to type instead",
                name=name,
            )
        if found is not None:
            from formers.dropin.older_paths import Path

            found.loader = Path(_absent)  # type: ignore[assignment]  # it has what the machinery calls
        return found

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """What `importlib.metadata` is told of the packages."""
        from formers.dropin.claimed import Claimed

        asked = getattr(context, "name", None)
        versions: dict[str, Callable[[], str]] = {
            "transformers": lambda: self.version,
            "peft": lambda: choice.ADAPTERS_FOLLOWED,
            "optimum": lambda: _other("optimum")[1],
        }
        for name, version in versions.items():
            if name in self.packages and (asked is None or asked.lower() == name):
                yield Claimed(name, version())


_NO_OPTIMUM = (
    "of optimum, formers has exporters.onnx, onnxruntime and pipelines; `formers quantize` and `formers "
    "export` make models smaller"
)
# modules of the ecosystem that are modules of formers too
_MIRRORED = ("generation", "generation.streamers", "generation.watermarking", "models", "pipelines")


def _is_imported(frame: Any) -> bool:
    """Whether a finder is asked for the sake of an import; else somebody asks whether a module is there."""
    return frame is not None and frame.f_code.co_name == "_find_and_load_unlocked"


class _Made:
    """A module that finds its names when they are first used."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        def find(name: str) -> Any:
            value = self.find(module, name)
            if name != "__version__":
                setattr(module, name, value)
            return value

        module.__dict__["__getattr__"] = find
        module.__dict__["__dir__"] = lambda: sorted({*vars(module), *self.names()})

    def find(self, module: ModuleType, name: str) -> Any:
        """The value of a name."""
        raise NotImplementedError(f"{type(self).__name__} does not say where names come from")

    def names(self) -> list[str]:
        """The names that are listed."""
        raise NotImplementedError(f"{type(self).__name__} does not say which names there are")


class _Root(_Made):
    """`transformers` itself."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.__doc__ = "formers, under the name of transformers."
        module.__file__ = sys.modules["formers"].__file__

    def names(self) -> list[str]:
        return dir(importlib.import_module("formers"))

    def find(self, module: ModuleType, name: str) -> Any:
        if name == "__version__":
            return self._finder.version
        if name == "__all__":
            return importlib.import_module("formers").__all__
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        if name in _MIRRORED or _is_path(name):
            return importlib.import_module(f"{module.__name__}.{name}")
        try:
            return _of_formers(module, name, importlib.import_module("formers"))
        except (AttributeError, ImportError):
            from formers.dropin import compared

            if name not in compared.NAMES:
                raise
            return compared.named(name)


class _Mirror(_Made):
    """A package that formers has too, under the other name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _real(self) -> ModuleType:
        return importlib.import_module(f"formers.{self._path}")

    def names(self) -> list[str]:
        return [name for name in dir(self._real()) if not name.startswith("_")]

    def find(self, module: ModuleType, name: str) -> Any:
        if name == "__all__":
            return self.names()
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        path = f"{self._path}.{name}"
        if _is_path(path):
            return importlib.import_module(f"{module.__name__}.{name}")
        try:
            return _of_formers(module, name, self._real(), depth=3)
        except (AttributeError, ImportError) as error:
            try:
                return _of_formers(module, name, importlib.import_module("formers"))
            except (AttributeError, ImportError):
                raise error from None


class _Other(_Made):
    """Another package that formers stands for, and its modules: each hands out all that there is."""

    def __init__(self, root: str) -> None:
        self.root, (self.table, self.version) = root, _other(root)

    def names(self) -> list[str]:
        return list(self.table.homes())

    def find(self, module: ModuleType, name: str) -> Any:
        if name == "__version__" and module.__name__ == self.root:
            return self.version
        if name == "__all__":
            return self.names()
        below = f"{module.__name__}.{name}".partition(".")[2]
        if below in self.table.PATHS:
            return importlib.import_module(f"{self.root}.{below}")
        homes: Mapping[str, str] = self.table.homes()
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        raise _absent(module, name, list(homes))


def _other(root: str) -> tuple[Any, str]:
    """What another package's modules are and hand out, and the version that is told."""
    if root == "peft":
        from formers.dropin import peft_names

        return peft_names, choice.ADAPTERS_FOLLOWED
    from formers.dropin import optimum_names

    return optimum_names, optimum_names.FOLLOWED


def _spec(name: str, loader: Any, **options: Any) -> ModuleSpec:
    """A spec whose loader has what the machinery calls, without its base class: that is dear to import."""
    return ModuleSpec(name, loader, **options)


def _is_path(path: str) -> bool:
    from formers import paths

    return path in paths.PATHS or bool(paths.prefixes_of(path))


def _of_formers(module: ModuleType, name: str, real: ModuleType, depth: int = 2) -> Any:
    """A name of a module of formers; its own modules are not the ecosystem's."""
    try:
        value = getattr(real, name)
    except (AttributeError, ImportError) as error:
        why = str(error).partition(repr(name))[2].replace(f" from {real.__name__!r}", "")
        raise _absent(module, name, [], why) from None
    if isinstance(value, type(sys)):
        raise _absent(module, name, [])
    return value


def _absent(module: ModuleType, name: str, known: list[str], why: str = "") -> Exception:
    """The error for a name that is not there; an `import` would drop the text of an AttributeError."""
    from formers.core.notices import did_you_mean

    why = why or did_you_mean(name, known)
    if _wanted_by_import():
        return ImportError(f"cannot import name {name!r} from {module.__name__!r}{why}", name=module.__name__)
    return AttributeError(f"module {module.__name__!r} has no attribute {name!r}{why}")


def _wanted_by_import() -> bool:
    """Whether the name that a module here is asked for stands in a `from ... import`."""
    import dis

    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in (__name__, "formers.dropin.older_paths"):
        frame = frame.f_back
    if frame is None:
        return False
    if frame.f_code.co_name == "_handle_fromlist":
        return True
    return bool(frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"])
