"""Whether what the server sees and answers still looks like the reference period."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from formers.desk.drift import DriftBaseline, DriftMonitor

GROUP = 256  # texts that are counted together
CHECK_EVERY = 1024  # texts between two looks at the verdict


@dataclass(frozen=True, slots=True)
class Seen:
    """One text and its answer. `tokens` includes those that were cut off."""

    text: str
    label: str
    score: float
    tokens: int


class DriftWatch:
    """Feeds a `DriftMonitor` in groups from a thread of its own, and says when its verdict changes.

    Args:
        baseline: what is normal.
        announce: called (in the thread) when the verdict changes, with it and the indices by feature.
    """

    def __init__(
        self,
        baseline: DriftBaseline,
        announce: Callable[[str, dict[str, float]], None] | None = None,
    ) -> None:
        self._monitor = DriftMonitor(baseline)
        self._in_tokens = baseline.length_unit == "tokens"
        self.announce = announce
        self.verdict = "unknown"
        self._pending: list[Seen] = []
        self._unchecked = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "formers-drift")

    def add(self, seen: Seen) -> None:
        """Take one text; cheap."""
        self._pending.append(seen)
        if len(self._pending) >= GROUP:
            group, self._pending = self._pending, []
            self._thread.submit(self._count, group)

    def values(self) -> dict[str, float]:
        """The population stability index of each feature over the last few thousand texts; empty at first."""
        group, self._pending = self._pending, []
        self._count(group)
        return self._check()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=True)

    def _count(self, group: list[Seen]) -> None:
        if group:
            lengths = [seen.tokens for seen in group] if self._in_tokens else None
            answers = [{"label": seen.label, "score": seen.score} for seen in group]
            self._monitor.update([seen.text for seen in group], answers, lengths)
        with self._lock:
            self._unchecked += len(group)
            due = self._unchecked >= CHECK_EVERY
        if due:
            self._check()

    def _check(self) -> dict[str, float]:
        report = self._monitor.report()
        values = {feature.name: feature.psi for feature in report.features}
        with self._lock:
            self._unchecked = 0
            changed = report.verdict != self.verdict
            self.verdict = report.verdict
        if changed and self.announce is not None:
            self.announce(report.verdict, values)
        return values
