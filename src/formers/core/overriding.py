"""What a class has of its own in the place of what it inherits."""

from __future__ import annotations

from typing import Any


def overridden(kind: type[Any], base: type[Any], method: str) -> bool:
    """Whether a class has another method than its base."""
    return getattr(kind, method) is not getattr(base, method)
