"""One client's connection: how long it may say nothing, how large a head may be, how fast a body comes."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from formers.serving.limits import LARGE, PAGE, Pace

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
else:
    _Protocol = object  # uvicorn's comes beside it where a server is made: it is imported there

MOST_HEAD = 32 * 1024  # bytes of a request's line and headers (431 above it), and of its trailers
MOST_FIELDS = 100  # headers and trailers of a request
MOST_CHUNKS = 1024  # of a chunked body whose chunks are tiny
TINY = 64  # bytes
STRANGER_WAITS = 0.5  # seconds at most, while many others leave before their answers
_SLOW = b'{"detail":"the head of the request is too large or too slow"}'
_REFUSAL = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
)


class _Transport:
    """A client's transport that reads nothing while it is `held`, and forgets what is written once it closed.

    uvloop's own raises then, as when a client leaves early.
    """

    held = False

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def resume_reading(self) -> None:
        if not self.held and not self.is_closing():
            self._transport.resume_reading()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Guarded(_Protocol):
    """uvicorn's protocol with bounds where it has none; `guarded` fills them in.

    Attributes:
        most: connections at once; the one that has waited longest for a request makes room for a new one.
        seconds: in which a head must be there, and in which a client must take what is written to it.
        pace: hands out turns to large bodies.
        leaving: what clients cost that left before their first answer. While it is more than a little, new
            connections are read a while later, and those that have gone by then not at all.
        waiting: connections between two requests, the longest first.
    """

    most: int
    seconds: float
    pace: Pace
    leaving: Pace
    waiting: dict[_Guarded, None]
    _read = _fields = _chunks = _head = _body = 0  # of this request
    _stops = _answered = False
    _fresh, _early = True, b""  # nothing came yet; what came before it is read
    _bounded: Any  # the transport
    _timer: asyncio.TimerHandle | None = None  # until the head is there
    _writing: asyncio.TimerHandle | None = None  # until the client takes what was written

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        self._bounded = _Transport(transport)
        super().connection_made(self._bounded)
        self._await_head()
        if len(self.connections) > self.most:
            next(iter(self.waiting), self).transport.abort()
        self.waiting[self] = None

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._read and not self._answered:
            self.leaving.charge(PAGE + TINY * self._chunks)
        self.waiting.pop(self, None)
        for timer in (self._timer, self._writing, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._refuse, b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        """Answer what never became a request, where something was said, and close."""
        if self._idle and self._read:
            self.transport.write(_REFUSAL % (status, len(_SLOW), _SLOW))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._fresh:
            self._fresh = False
            if (wait := self.leaving.charge(0)) > 0.001:
                self._read, self._early = len(data), data
                self._hold(min(wait, STRANGER_WAITS))
                return
        self._read += len(data)
        if self._idle:
            self._await_head()
            if self._read > MOST_HEAD and b"\r\n\r\n" not in data[:MOST_HEAD]:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        super().data_received(data)
        if not self._idle and self._read > LARGE and not self.transport.is_closing():
            self._hold(self.pace.charge(len(data)))

    def _hold(self, seconds: float) -> None:
        if seconds > 0.001 and not self._bounded.held:
            self._bounded.pause_reading()
            self._bounded.held = True
            self.loop.call_later(seconds, self._release)

    def _release(self) -> None:
        self._bounded.held = False
        if (early := self._early) and not self.transport.is_closing():
            if _left(self.transport):
                self.transport.abort()
                return
            self._early, self._read = b"", 0
            self.data_received(early)
        if not self.flow.read_paused:
            self._bounded.resume_reading()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields = self._chunks = self._head = self._body = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._head += len(name) + len(value)
        if self._fields > MOST_FIELDS or self._head > MOST_HEAD:
            raise ValueError("too many headers")  # the parser turns it into a refusal (400)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().on_headers_complete()
        # a connection is kept only where the request has come to its end before the answer begins
        self._keeps, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        self._chunks += 1
        self._body += len(body)
        if self._chunks > MOST_CHUNKS and self._body < TINY * self._chunks:
            raise ValueError("too many chunks")
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._keeps and not self._stops:
            self.cycle.keep_alive = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._read = 0
        self._answered = True
        super().on_response_complete()
        if self._idle and not self.transport.is_closing():  # no other request is behind it
            self.waiting[self] = None

    def shutdown(self) -> None:
        self._stops = True
        super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()


def _left(transport: asyncio.Transport) -> bool:
    """Whether the client has closed its side (told on Linux alone), before what it sent is read."""
    connection = transport.get_extra_info("socket")
    families = (socket.AF_INET, socket.AF_INET6)
    if connection is None or connection.family not in families or not hasattr(socket, "TCP_INFO"):
        return False
    state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # ESTABLISHED


def guarded(most: int, seconds: float, pace: Pace) -> type[asyncio.Protocol]:
    """Make the protocol of one server; see `_Guarded`."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    bounds = {"most": most, "seconds": seconds, "pace": pace, "leaving": Pace(), "waiting": {}}
    return type("Guarded", (_Guarded, HttpToolsProtocol), bounds)
