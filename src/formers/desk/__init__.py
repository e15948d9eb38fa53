"""What a team puts around a classifier: report, golden files, drift checks, the human queue and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.core.lazy import lazy

if TYPE_CHECKING:
    from formers.desk.drift import DriftBaseline as DriftBaseline
    from formers.desk.drift import DriftMonitor as DriftMonitor
    from formers.desk.drift import DriftReport as DriftReport
    from formers.desk.golden import GoldenReport as GoldenReport
    from formers.desk.queue import HumanQueue as HumanQueue
    from formers.desk.report import write_report as write_report

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".drift": ("DriftBaseline", "DriftMonitor", "DriftReport"),
        ".golden": ("GoldenReport",),
        ".queue": ("HumanQueue",),
        ".report": ("write_report",),
    },
)
