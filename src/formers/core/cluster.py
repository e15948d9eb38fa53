"""A connection to a Ray cluster, or a cluster of processes on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PATIENCE = 10.0  # seconds that a cluster's machine has to answer


@contextmanager
def connected(ray: Any, address: str, processors: int = 1) -> Iterator[None]:
    """Connect for the time of a `with` block; a connection that this process has already is used, and left.

    Args:
        ray: the package.
        address: "local" for a cluster of processes that ends with the block; else as `ray.init` takes it.
        processors: that a local cluster says it has at least.

    Raises:
        ConnectionError: where no cluster answers at the address.
        ValueError: for what is no address.
    """
    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": max(processors, os.cpu_count() or 1), "include_dashboard": False}
        _look(address)
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            ray.init(address, **quiet, **(local if address == "local" else {}))
        except ConnectionError as error:
            raise _absent(address, str(error)) from error
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def _look(address: str) -> None:
    """Refuse an address that nobody listens on: Ray tries for minutes, and may end the whole process."""
    if address in ("local", "auto"):
        return
    place = address.removeprefix("ray://")
    host, colon, port = place.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ValueError(
            f"the address of a Ray cluster is host:port, ray://host:port, auto or local, not {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise _absent(address, str(error)) from error


def _absent(address: str, why: str) -> ConnectionError:
    """No cluster answers."""
    found = "was found" if address == "auto" else f"answers at {address}"
    said = (why.strip().splitlines() or [""])[0].rstrip(".")
    return ConnectionError(
        f"no Ray cluster {found} ({said}): start one with `ray start --head`, or say local"
    )
