"""The garbage collector at rest, for the few steps that make very many objects which all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting() -> Iterator[None]:
    """Keep the collector from running in the block; afterwards it is as it was before.

    An import or a load makes objects that stay: a collection in the midst of it walks all of torch's and
    frees nothing.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
