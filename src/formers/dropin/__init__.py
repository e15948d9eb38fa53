"""`import transformers` means `formers`: for scripts and packages that were written for the ecosystem.

    import formers.dropin
    formers.dropin.install()          # before anything imports transformers
    import sentence_transformers

`python -m formers.dropin script.py` runs a script so, and `--install-pth` lets every interpreter of an
environment start so. `peft` and `optimum` mean formers too where they are not installed themselves.
"""

from __future__ import annotations

import sys

from formers.core.dropin_state import stand_for_another
from formers.dropin.finder import Finder
from formers.dropin.packages import COMPLETED, PACKAGES, chosen_packages

TYPE_CHECKING = False  # of `typing`; see `packages`
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

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
    _begin(version, packages)
    if before := [name for name in PACKAGES if name in _aside]:
        from formers.core.notices import notice

        notice(
            f"{' and '.join(before)} was imported before "
            "formers.dropin.install(): what already holds its objects keeps them, and what it still loads by "
            "name comes from formers; install first, or call formers.dropin.uninstall() to have it back"
        )


def _begin(version: str | None, packages: Iterable[str] | None) -> Finder:
    """Install, and say nothing."""
    found = Finder(version, chosen_packages(packages))
    uninstall()
    before = [name for name in sys.modules if found.stands_for(name)]
    _aside.update({name: sys.modules.pop(name) for name in before})
    if any(name in sys.modules for name in COMPLETED):
        from formers.dropin import additions

        additions.add()
    _stand(True)
    sys.meta_path.insert(0, found)
    return found


def _stand(on: bool) -> None:
    """Say that this stands for another package, also to the loggers if they are there already."""
    stand_for_another(on)
    if "formers.core.logging" in sys.modules:
        sys.modules["formers.core.logging"].on_every_logger(on)


def uninstall() -> None:
    """Let the names mean what is installed under them, if anything; what was imported before is back."""
    for found in [one for one in sys.meta_path if isinstance(one, Finder)]:
        sys.meta_path.remove(found)
        for name in [name for name in sys.modules if found.stands_for(name)]:
            del sys.modules[name]
    if "formers.dropin.additions" in sys.modules:
        sys.modules["formers.dropin.additions"].remove()
    _stand(False)
    sys.modules.update(_aside)
    _aside.clear()


def installed() -> Finder | None:
    """What answers for the names now: its `packages` and `version`. None where nothing does."""
    return next((one for one in sys.meta_path if isinstance(one, Finder)), None)


class using:
    """The names mean formers within a `with`, and what they meant before after it; see `install`."""

    def __init__(self, version: str | None = None, packages: Iterable[str] | None = None) -> None:
        self._asked = version, packages

    def __enter__(self) -> None:
        self._before = installed()
        _begin(*self._asked)

    def __exit__(self, *_: object) -> None:
        uninstall()
        if self._before is not None:
            _begin(self._before.asked, self._before.chosen)
