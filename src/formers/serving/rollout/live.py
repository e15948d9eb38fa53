"""One version that answers, and what is known of how it does."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from formers.desk.registry import Registry, Version
from formers.serving.life import Life

_REMEMBERED = 4096  # times of answers
_LOOK = 0.01  # seconds between two looks at a state


class Live:
    """A loaded version.

    Attributes:
        version: which.
        service: its server.
        app: its ASGI application, once it has one.
        inside: requests that it has not answered yet.
    """

    app: Any

    def __init__(self, version: Version, service: Life) -> None:
        self.version, self.service = version, service
        self.inside = 0
        self._statuses: Counter[int] = Counter()
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def name(self) -> str:
        """Its name."""
        return self.version.name

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.service.state == "ready"

    async def begin(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it does not.
        """
        await self.service.start()
        while self.service.state == "starting":
            await asyncio.sleep(_LOOK)
        if not self.ready:
            raise RuntimeError(self.service.problem or "the server stopped while it was starting")

    async def end(self, seconds: float) -> None:
        """Wait for the requests inside, so long at most, and stop."""
        until = asyncio.get_running_loop().time() + seconds
        while self.inside and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK)
        await self.service.stop()

    def keeps(self, number: str) -> bool:
        """Whether it keeps the response of that number."""
        kept = self.service.kept
        return kept is not None and bool(kept.holds(number))

    def inherit(self, other: Live) -> None:
        """Keep the responses that a version which leaves has kept, where both keep some."""
        if self.service.kept is not None and other.service.kept is not None and other is not self:
            self.service.kept.take_over(other.service.kept)

    def note(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self._statuses[status] += 1
        self._seconds.append(seconds)

    def told(self) -> dict[str, Any]:
        """What the page shows of it: counts, times in ms, drift of what it was asked."""
        statuses = self._statuses.copy()
        times = np.array([*self._seconds.copy()]) * 1000
        quantiles = (
            {name: round(float(np.quantile(times, q)), 2) for name, q in _QUANTILES} if len(times) else {}
        )
        return {
            "name": self.name,
            "hash": self.version.hash,
            "note": self.version.note,
            "revision": self.service.revision,
            "requests": sum(statuses.values()),
            "errors": sum(count for status, count in statuses.items() if status >= 500),
            "statuses": {str(status): statuses[status] for status in sorted(statuses)},
            "latency_ms": quantiles,
            "drift": self._drift(),
        }

    def _drift(self) -> dict[str, Any] | None:
        watch = getattr(self.service, "watch", None)
        if watch is None:
            return None
        values = watch.values()
        return {
            "verdict": watch.verdict,
            "psi": {name: round(value, 4) if np.isfinite(value) else None for name, value in values.items()},
        }


_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def loaded(registry: Registry, name: str, make: Callable[[Path], Life]) -> Live:
    """A version whose files are what was added; `make` makes a server of a folder.

    Raises:
        RegistryError: they are not.
        Exception: whatever loading a model raises.
    """
    version = registry.verify(name)
    return Live(version, make(registry.folder(name)))
