"""Whether this stands for another package, to which others hand keywords that are for several readers."""

from __future__ import annotations

_for_another = [False]


def stand_for_another(on: bool) -> None:
    """Say that it does, or does no more."""
    _for_another[0] = on


def stands_for_another() -> bool:
    """Whether it does."""
    return _for_another[0]
