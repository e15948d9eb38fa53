"""A plugin of pytest's that runs a part of a suite, the same on every side, and keeps every test's outcome.

In a file tests come in the order of a hash of their names, so that a run which is ended is a fair sample.
Settings: OUTSIDE_SAMPLE, one test in so many; OUTSIDE_KEPT, a file with a line "outcome name" for each test:
those in it are not run again; OUTSIDE_SECONDS, after which no further test begins. A test that begins and
never ends (it took the process with it) keeps the outcome STARTED.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from typing import Any

_BEGAN = time.monotonic()


def outcomes(kept: Path) -> dict[str, str]:
    """Name of a test -> what became of it: PASSED, FAILED, SKIPPED or STARTED."""
    lines = kept.read_text().splitlines() if kept.exists() else []
    return {name: what for what, _, name in (line.partition(" ") for line in lines)}


def _kept() -> Path | None:
    where = os.environ.get("OUTSIDE_KEPT")
    return Path(where) if where else None


def _keep(what: str, name: str) -> None:
    if kept := _kept():
        with kept.open("a") as writes:
            writes.write(f"{what} {name}\n")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what is kept and what the sample has not; order the rest."""
    share = int(os.environ.get("OUTSIDE_SAMPLE", "1"))
    kept = _kept()
    known = outcomes(kept) if kept else {}

    def place(item: Any) -> int:
        return zlib.crc32(item.nodeid.encode())

    chosen = [item for item in items if item.nodeid not in known and place(item) % share == 0]
    files = list(dict.fromkeys(item.path for item in chosen))
    items[:] = sorted(chosen, key=lambda item: (files.index(item.path), place(item)))


def pytest_runtest_logstart(nodeid: str, location: Any) -> None:
    """Say that a test begins."""
    _keep("STARTED", nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    """Keep a test's outcome: a setup or an end that fails outweighs a call that passed."""
    if report.when == "call" or not report.passed:
        _keep(report.outcome.upper(), report.nodeid)


def pytest_runtest_protocol(item: Any, nextitem: Any) -> None:
    """End in time."""
    if time.monotonic() - _BEGAN > float(os.environ.get("OUTSIDE_SECONDS", "inf")):
        item.session.shouldstop = "the time is up"
