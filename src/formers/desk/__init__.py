"""What a team puts around a classifier: report, golden files, drift checks, the human queue and its page."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formers.desk.drift import DriftBaseline as DriftBaseline
    from formers.desk.drift import DriftMonitor as DriftMonitor
    from formers.desk.drift import DriftReport as DriftReport
    from formers.desk.golden import GoldenReport as GoldenReport
    from formers.desk.queue import HumanQueue as HumanQueue
    from formers.desk.report import write_report as write_report

_MODULE_OF = {
    "DriftBaseline": "drift",
    "DriftMonitor": "drift",
    "DriftReport": "drift",
    "GoldenReport": "golden",
    "HumanQueue": "queue",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
