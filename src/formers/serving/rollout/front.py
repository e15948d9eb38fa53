"""What stands before the versions' applications: it chooses one for each request, and shows how they do."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from formers.serving.classify import CLIENT_GONE, Scope, Send
from formers.serving.human import page_file
from formers.serving.limits import Receive, Refusal, Within
from formers.serving.rollout.live import Live
from formers.serving.rollout.rollout import Rollout, counted
from formers.serving.rollout.shadow import MOST_BYTES, Pair

if TYPE_CHECKING:
    from fastapi import APIRouter

OWN = frozenset(
    {"/health", "/health/ready", "/health/live", "/metrics", "/rollout", "/rollout/state"}
)  # paths that are no version's
_RESPONSES = "/v1/responses"
# a key, which no text of a JSON body can look like: there, quotes have backslashes
_GOES_ON = re.compile(rb'"previous_response_id"\s*:\s*"(resp_[0-9a-f]+)"')


class Front:
    """Hands requests on.

    Questions to the model are shared out; pages, and the human queue, are the current version's.

    Args:
        app: what answers the paths that are no version's.
        rollout: who answers the others.
    """

    def __init__(self, app: Any, rollout: Rollout) -> None:
        self.app, self.rollout = app, rollout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in OWN:
            await self.app(scope, receive, send)
            return
        rollout = self.rollout
        if scope["method"] != "POST" or scope["path"].startswith("/queue"):
            number = scope["path"].removeprefix(f"{_RESPONSES}/")
            live = rollout.keeper(number) or rollout.routing.current
            with counted(live):
                await live.app(scope, receive, _Named(send, live))
            return
        rollout.look_at_engine()
        keeper = None
        if scope["path"] == _RESPONSES and self._has_key(scope):
            receive, keeper = await self._keeper(receive)
        live = keeper or rollout.choose(dict(scope["headers"]))
        asks_shadow = keeper is None and live is rollout.routing.current  # a shadow has kept other responses
        shadow = rollout.routing.shadow if asks_shadow else None
        seen = _Seen(receive, send, live, shadow is not None)
        before = dict(scope)
        started = time.perf_counter()
        with counted(live):
            await live.app(scope, seen.receive, seen.send)
        live.note(seen.status or CLIENT_GONE, time.perf_counter() - started)
        if shadow is None or seen.status != 200:
            return
        if seen.whole:
            rollout.compare(shadow, Pair(before, bytes(seen.body), seen.status, bytes(seen.answer)))
        else:
            shadow.drop()

    def _has_key(self, scope: Scope) -> bool:
        try:
            self.rollout.check_key(dict(scope["headers"]))
        except Refusal:  # which the version's own server says
            return False
        return True

    async def _keeper(self, receive: Receive) -> tuple[Receive, Live | None]:
        """Who keeps the response that a body goes on from; and the request, as it has yet to be read."""
        settings, read, body = self.rollout.settings, deque[MutableMapping[str, Any]](), bytearray()

        async def again() -> MutableMapping[str, Any]:
            return read.popleft() if read else await receive()

        # what comes too late is for the version's server to refuse
        with contextlib.suppress(TimeoutError), Within(settings.body_timeout, TimeoutError()):
            while len(body) <= settings.max_body_bytes:
                read.append(message := await receive())
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        named = (self.rollout.keeper(found[1].decode()) for found in _GOES_ON.finditer(body))
        return again, next((live for live in named if live is not None), None)


class _Named:
    """Sends an answer with the name of the version that gave it."""

    def __init__(self, send: Send, live: Live) -> None:
        self._send, self._name = send, (b"x-model-version", live.name.encode())

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], self._name]}
        await self._send(message)


class _Seen:
    """A request and its answer as they pass: the status; and both bodies, where a shadow is asked, too.

    Attributes:
        whole: whether both bodies were kept: neither is too large, and the answer is no stream of events.
    """

    def __init__(self, receive: Receive, send: Send, live: Live, keep: bool) -> None:
        self._receive, self._send = receive, _Named(send, live)
        self.status, self.whole = 0, keep
        self.body, self.answer = bytearray(), bytearray()

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if self.whole and message["type"] == "http.request":
            self._keep(self.body, message.get("body", b""))
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if any(value.startswith(b"text/event-stream") for _, value in message["headers"]):
                self._forget()
        elif self.whole:
            self._keep(self.answer, message.get("body", b""))
        await self._send(message)

    def _keep(self, into: bytearray, part: bytes) -> None:
        into += part
        if len(into) > MOST_BYTES:
            self._forget()

    def _forget(self) -> None:
        self.whole, self.body, self.answer = False, bytearray(), bytearray()


def rollout_routes(rollout: Rollout) -> APIRouter:
    """The page of the roll-out, and what it shows, which is behind the key."""
    from fastapi import APIRouter, Depends

    async def with_key(request: Request) -> None:
        rollout.check_key(dict(request.scope["headers"]))

    router = APIRouter(prefix="/rollout", tags=["state"])

    @router.get("", include_in_schema=False)
    async def page() -> Any:
        return page_file("rollout.html")

    @router.get("/state", dependencies=[Depends(with_key)])
    def state() -> dict[str, Any]:
        """Versions, their shares, latency, drift, and how the shadow's answers differ."""
        return rollout.told()

    return router
