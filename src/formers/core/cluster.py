"""A connection to a Ray cluster, or a cluster of processes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def connected(ray: Any, address: str, processors: int = 1) -> Iterator[None]:
    """Connect for the time of a `with` block; a connection that this process has already is used, and left.

    Args:
        ray: the package.
        address: "local" for a cluster of processes that ends with the block; else as `ray.init` takes it.
        processors: that a local cluster says it has at least.
    """
    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": max(processors, os.cpu_count() or 1), "include_dashboard": False}
        ray.init(address, log_to_driver=False, logging_level="error", **(local if address == "local" else {}))
    try:
        yield
    finally:
        if ours:
            ray.shutdown()
