"""Which packages formers stands for, and in which version it says it does."""

from __future__ import annotations

import os
from importlib import machinery

TYPE_CHECKING = (
    False  # of `typing`; what `import transformers` needs imports no module of Python's for itself
)
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PACKAGES = ("transformers", "peft", "optimum")
COMPLETED = ("datasets", "peft")  # packages that get names, as themselves; see `additions`
ADAPTERS_FOLLOWED = "0.21.2"  # the version of peft whose interface is followed
# Versions of transformers to choose from. No single one suits every package: some want 5, some stay below.
VERSIONS = ("4.57.6", "5.16.1", "5.23.0")
_NUMBER = r"\d+(\.\d+)*((a|b|rc|\.dev|\.post)\d+)?"
_accepted: list[str] = []  # what `accepted_version` found


def wanted_packages(given: Iterable[str] | None) -> tuple[str, ...]:
    """The packages to stand for: those given, those of the environment, or those not installed themselves.

    Raises:
        ValueError: for one that formers cannot stand for.
    """
    chosen = chosen_packages(given)
    return tuple(name for name in PACKAGES if is_free(name)) if chosen is None else chosen


def is_free(package: str) -> bool:
    """Whether formers stands for one of `PACKAGES` where nobody chose."""
    return package == "transformers" or machinery.PathFinder.find_spec(package) is None


def chosen_packages(given: Iterable[str] | None) -> tuple[str, ...] | None:
    """The packages that a person chose, here or in the environment; None where nobody did.

    Raises:
        ValueError: for one that formers cannot stand for.
    """
    if isinstance(given, str):
        given = [given]
    if given is None and (text := os.environ.get("FORMERS_DROPIN_PACKAGES")):
        given = [word.strip() for word in text.split(",") if word.strip()]
    if given is None:
        return None
    chosen = tuple(dict.fromkeys(given))
    for name in chosen:
        if name not in PACKAGES:
            from formers.core.notices import did_you_mean

            raise ValueError(
                f"formers stands for {', '.join(PACKAGES)}, not for {name!r}{did_you_mean(name, PACKAGES)}"
            )
    return chosen


def checked_version(given: str | None) -> str | None:
    """The version that a person chose, by hand or in the environment; None where nobody did.

    Raises:
        ValueError: for a text that is no version.
    """
    given = given or os.environ.get("FORMERS_DROPIN_VERSION") or None
    if given is not None:
        import re

        if not re.fullmatch(_NUMBER, given):
            raise ValueError(f"{given!r} is no version such as {VERSIONS[0]!r}")
    return given


def accepted_version() -> str:
    """The first of `VERSIONS` that the most of the installed packages accept; reads their metadata, once."""
    if not _accepted:
        limits = [limit for one in on_the_path() for limit in _limits(one)]
        _accepted.append(max(VERSIONS, key=lambda version: sum(limit.contains(version) for limit in limits)))
    return _accepted[0]


def on_the_path() -> Iterable[Any]:
    """The distributions that are installed, whoever stands for one of them."""
    from importlib import metadata

    return metadata.MetadataPathFinder.find_distributions()


def _limits(found: Any) -> list[Any]:
    """What an installed package asks of transformers, where it asks always."""
    import re

    text = found.read_text("METADATA") or ""
    lines = re.findall(r"(?m)^Requires-Dist: (transformers\b.*)$", text)
    if not lines:
        return []
    from packaging.requirements import Requirement

    asked = [Requirement(line) for line in lines]
    return [
        one.specifier
        for one in asked
        if one.name == "transformers" and (one.marker is None or one.marker.evaluate({"extra": ""}))
    ]
