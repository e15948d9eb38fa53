"""One JSON line for each request, written in batches by a thread so that no request waits for a disk."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

MOST_WAITING = 100_000
# what ends a line or steers a terminal, and JSON leaves as it is
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


class RequestLog:
    """Appends request lines to a file, or to standard error.

    Lines reach the file within `interval` seconds, and all of them on `close`. When the disk cannot keep up
    and more than 100,000 lines wait, further lines are counted in `lost` and a line that says so follows.

    Args:
        path: the file; None for standard error.
        interval: seconds between writes.
        stream: written to in place of a file (tests).
    """

    def __init__(
        self, path: str | Path | None = None, *, interval: float = 0.2, stream: TextIO | None = None
    ) -> None:
        self.path = None if path is None else Path(path)
        self.lost = 0
        self._own = self.path.open("a", encoding="utf-8") if self.path is not None else None
        self._stream = self._own or stream or sys.stderr
        self._interval = interval
        self._lines: deque[tuple[float, dict[str, Any]]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="formers-log", daemon=True)
        self._thread.start()

    def write(self, time: float, record: dict[str, Any]) -> None:
        """Take one record; `time` is in seconds since 1970."""
        if len(self._lines) >= MOST_WAITING:
            self.lost += 1
            return
        self._lines.append((time, record))

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._own is not None:
            self._own.close()

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(self._interval)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines: list[str] = []
        while self._lines:
            time, record = self._lines.popleft()
            lines.append(_line(time, record))
        if self.lost:
            lost, self.lost = self.lost, 0
            lines.append(_line(datetime.now().timestamp(), {"event": "lines_lost", "count": lost}))
        if not lines:
            return
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except OSError as error:  # a full disk must not stop the answers; say it where people look
            if self._stream is not sys.stderr:
                print(f"formers: cannot write the request log: {error}", file=sys.stderr)


def _line(time: float, record: dict[str, Any]) -> str:
    stamp = datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="milliseconds")
    line = json.dumps({"time": stamp.replace("+00:00", "Z"), **record}, ensure_ascii=False)
    return line.translate(_CONTROLS) + "\n"
