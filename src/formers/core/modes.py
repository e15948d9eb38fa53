"""Training and evaluation mode of modules, put back as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """A context without dropout; modules that were in training mode are put back into it afterwards.

    A model that is in evaluation mode as a whole is left alone, whatever its owner set in single parts.
    """
    training = [m for m in model.modules() if m.training] if getattr(model, "training", False) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
