"""A plugin of pytest's that keeps one test in some, by its name: the same ones on every side."""

from __future__ import annotations

import os
import zlib
from typing import Any


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Keep the share that OUTSIDE_SAMPLE says."""
    share = int(os.environ.get("OUTSIDE_SAMPLE", "1"))
    items[:] = [item for item in items if zlib.crc32(item.nodeid.encode()) % share == 0]
