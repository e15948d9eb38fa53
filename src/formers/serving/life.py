"""The life of a server, whatever it serves: starting, ready, draining, failed; its key, its log, its pace."""

from __future__ import annotations

import hmac
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from formers.serving.limits import Pace, Refusal
from formers.serving.logs import RequestLog
from formers.serving.settings import Settings

logger = logging.getLogger("formers.serving")


class Life(ABC):
    """What the endpoints of every server share.

    `state` goes from "starting" to "ready" to "draining"; "failed" when the warm-up or the engine broke.

    Args:
        settings: limits and places.
        revision: what tells the model from others.

    Attributes:
        called: what requests call the model, where it has a name.
        kept: responses that clients may go on from (`Kept`), where it keeps some.
    """

    called: str = ""
    kept: Any = None

    metrics: Any  # with `render`
    summary: ClassVar[str]  # what it does, for the page of the docs

    def __init__(self, settings: Settings, revision: str | None) -> None:
        self.settings, self.revision = settings, revision
        self.pace = Pace()
        self.state = "starting"
        self.problem: str | None = None
        self.on_failure: Callable[[], None] | None = None
        self._log: RequestLog | None = None
        self._shares_log = False

    @property
    def log(self) -> RequestLog:
        """The request log; open from `open` on."""
        if self._log is None:
            raise RuntimeError("the service is not open")
        return self._log

    def open(self) -> None:
        """Open the files; once.

        Raises:
            OSError: the log's file cannot be opened.
        """
        if self._log is None:
            self._log = RequestLog(self.settings.log_path)

    def join(self, other: Life) -> None:
        """Share the pace and the log of another server, which is open and closes it."""
        self.pace, self._log, self._shares_log = other.pace, other.log, True

    @abstractmethod
    async def start(self) -> None:
        """Start the engine and warm it up in the background."""

    @abstractmethod
    async def drain(self) -> None:
        """Refuse new requests and finish what is held, within the settings' time; again does nothing."""

    @abstractmethod
    async def stop(self) -> None:
        """Finish what is held, write what is waiting, close the files."""

    def close(self) -> None:
        """Write what is waiting and close the files; again does nothing."""
        if self._log is not None and not self._shares_log:
            self._log.close()

    def begin_draining(self) -> None:
        """Refuse new requests from now on; those inside go on. Safe in a signal handler."""
        if self.state != "failed":
            self.state = "draining"

    @abstractmethod
    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""

    @abstractmethod
    def look_at_engine(self) -> None:
        """Notice an engine whose thread died; the server then stops, and a supervisor can start another."""

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        logger.error(problem)
        if self.on_failure is not None:
            self.on_failure()

    def check_open(self) -> None:
        """Refuse (503) unless ready.

        Raises:
            Refusal: 503, with the state and when to come back.
        """
        self.look_at_engine()
        if self.state == "ready":
            return
        why = {"starting": "the model is warming up", "draining": "the server is stopping"}
        raise Refusal(503, why.get(self.state) or self.problem or self.state, retry_after=1)

    def check_key(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse (401) when a key is asked for and the headers do not carry it.

        Raises:
            Refusal: 401.
        """
        key = self.settings.api_key
        if not key:
            return
        found = _key_in(headers)
        if found is None:
            raise Refusal(401, "this needs the API key: send it as X-API-Key or as Authorization: Bearer")
        if not hmac.compare_digest(found, key.encode()):
            raise Refusal(401, "the API key is wrong")


def _key_in(headers: Mapping[bytes, bytes]) -> bytes | None:
    found = headers.get(b"x-api-key")
    if found is None:
        scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
        found = value.strip() if scheme.lower() == b"bearer" and value.strip() else None
    return found
