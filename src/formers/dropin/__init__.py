"""`import transformers` means `formers`: for scripts and packages that were written for the ecosystem.

    import formers.dropin
    formers.dropin.install()          # before anything imports transformers
    import sentence_transformers

`python -m formers.dropin script.py` runs a script so, and `--install-pth` lets every interpreter of an
environment start so. `peft` and `optimum` mean formers too where they are not installed themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

from formers.core.dropin_state import stand_for_another
from formers.dropin import additions
from formers.dropin.finder import Finder
from formers.dropin.packages import PACKAGES, wanted_packages

__all__ = ["PACKAGES", "install", "installed", "uninstall", "using"]

# modules of the same names that were there before; they come back with `uninstall`
_aside: dict[str, ModuleType] = {}


def install(version: str | None = None, packages: Iterable[str] | None = None) -> None:
    """Let `transformers` (and `peft`, `optimum`) mean formers from here on, in this process.

    Nothing but names is set up: torch and models are loaded when they are used. A second call replaces the
    first one's choices.

    Args:
        version: what `transformers.__version__` and `importlib.metadata.version("transformers")` say. None:
            the environment variable FORMERS_DROPIN_VERSION, else the one that most installed packages accept.
        packages: the names that mean formers. None: FORMERS_DROPIN_PACKAGES (with commas), else transformers,
            and those of `peft` and `optimum` that are not installed.

    Raises:
        ValueError: for a version that is none, or a package that formers cannot stand for.
    """
    found = _begin(version, packages)
    if any(name in _aside for name in found.packages):
        from formers.core.notices import notice

        notice(
            f"{' and '.join(name for name in found.packages if name in _aside)} was imported before "
            "formers.dropin.install(): what already holds its objects keeps them, and what it still loads by "
            "name comes from formers; install first, or call formers.dropin.uninstall() to have it back"
        )


def _begin(version: str | None, packages: Iterable[str] | None) -> Finder:
    """Install, and say nothing."""
    found = Finder(version, wanted_packages(packages))
    uninstall()
    before = [name for name in sys.modules if found.stands_for(name)]
    _aside.update({name: sys.modules.pop(name) for name in before})
    additions.add()
    stand_for_another(True)
    sys.meta_path.insert(0, found)  # before the additions, which are for packages that are themselves
    return found


def uninstall() -> None:
    """Let the names mean what is installed under them, if anything; what was imported before is back."""
    for found in [one for one in sys.meta_path if isinstance(one, Finder)]:
        sys.meta_path.remove(found)
        for name in [name for name in sys.modules if found.stands_for(name)]:
            del sys.modules[name]
    additions.remove()
    stand_for_another(False)
    sys.modules.update(_aside)
    _aside.clear()


def installed() -> Finder | None:
    """What answers for the names now: its `packages` and `version`. None where nothing does."""
    return next((one for one in sys.meta_path if isinstance(one, Finder)), None)


@contextmanager
def using(version: str | None = None, packages: Iterable[str] | None = None) -> Iterator[None]:
    """The names mean formers within a `with`, and what they meant before after it; see `install`."""
    before = installed()
    _begin(version, packages)
    try:
        yield
    finally:
        uninstall()
        if before is not None:
            _begin(before.asked, before.packages)
