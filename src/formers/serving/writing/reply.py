"""What the endpoints under `/v1` share: how a request is answered, refused, counted and noted."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import starlette.requests
from starlette.responses import Response

from formers.serving.classify import CLIENT_GONE, Scope, Send, encoded
from formers.serving.life import Life
from formers.serving.limits import (
    REFUSED,
    Gone,
    Receive,
    Refusal,
    T,
    check_type,
    quoted,
    read_body,
    stray_parameter,
    understood,
)
from formers.serving.writing.values import BadField, check_name, error_of

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.routing import APIRoute

logger = logging.getLogger("formers.serving")


class Served(Life):
    """A server that the API's clients know by a model's name.

    Attributes:
        name: what requests call the model.
        created: when the server was made, in seconds since 1970.
        writes: whether it goes on with texts; else it makes vectors.
    """

    writes: ClassVar[bool]
    name: str
    created: int

    @property
    @abstractmethod
    def card(self) -> dict[str, Any]:
        """What is told of the model beside its name."""

    def check_name(self, name: Any) -> None:
        """Refuse another model's name.

        Raises:
            BadField: 404, or 400 where it is no name.
        """
        check_name(name, self.name)


class Reply:
    """What is sent for one request, and whether that has begun.

    Attributes:
        status: what was sent, or 0.
        failed: an error -> what is sent for it where the answer has begun.
    """

    failed: Callable[[Refusal], bytes]

    def __init__(self, send: Send, told: Callable[[Refusal], dict[str, Any]] = error_of) -> None:
        self._send, self._told = send, told
        self.status = 0
        self.failed = lambda refusal: b"data: %b\n\n" % encoded(told(refusal))

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head."""
        self.status = status
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def part(self, body: bytes, more: bool = True) -> None:
        """Send some of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send an answer that is one piece of JSON; bytes are that already."""
        body = value if isinstance(value, bytes) else encoded(value)
        known = {"content-type": "application/json", "content-length": str(len(body))}
        await self.begin(status, {**known, **(headers or {})})
        await self.part(body, more=False)

    async def refuse(self, refusal: Refusal) -> None:
        """The error in the API's form; into a stream that has begun as its last event."""
        if self.status:
            self.status = refusal.status  # for the log
            await self.part(self.failed(refusal), more=False)
        else:
            await self.whole(refusal.status, self._told(refusal), refusal.headers)


class Endpoint(ABC):
    """Answers one path, as a bare ASGI application.

    Args:
        server: whose it is.
        aside: whether even small bodies take long to read, so that they are read beside the event loop.
    """

    def __init__(self, server: Life, aside: bool = False) -> None:
        self.server, self.aside = server, aside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started, wall = time.perf_counter(), time.time()
        reply = Reply(send, self.told)
        record: dict[str, Any] = {"path": scope["path"]}
        try:
            await self._answer(scope, receive, reply, record)
        except Refusal as refusal:
            await self.server.pace.turn(REFUSED)
            await reply.refuse(refusal)
        except Gone:
            reply.status = CLIENT_GONE
        except Exception:
            logger.exception("a request at %s failed", scope["path"])
            await reply.refuse(Refusal(500, "the server failed on this request"))
        finally:
            server, seconds = self.server, time.perf_counter() - started
            server.metrics.request(reply.status, seconds)
            self._count(record)
            known = {
                "status": reply.status,
                "revision": server.revision,
                "latency_ms": round(seconds * 1000, 3),
            }
            server.log.write(wall, {**known, **record})

    @abstractmethod
    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        """Answer a request, and note in `record` what the log says of it."""

    def told(self, refusal: Refusal) -> dict[str, Any]:
        """An error in the form of the path's API."""
        return error_of(refusal)

    @abstractmethod
    def _count(self, record: dict[str, Any]) -> None:
        """Count what was noted."""

    async def _asked(self, scope: Scope, receive: Receive, read: Callable[[bytes], T]) -> T:
        """What `read` says of the body, where the server takes it.

        Raises:
            Refusal: it cannot be answered.
        """
        server, headers = self.server, dict(scope["headers"])
        server.check_open()
        server.check_key(headers)
        no_parameters(scope)
        check_type(headers)
        return await understood(await read_body(receive, headers, server.settings), read, self.aside)


def no_parameters(scope: Scope) -> None:
    """Refuse a query: all is said in the body, and what is said elsewhere would be ignored.

    Raises:
        BadField: 400.
    """
    if (name := stray_parameter(scope["query_string"])) is not None:
        said = f"unknown parameter {quoted(name)} in the query: this path takes none"
        raise BadField(name, said, "unknown_parameter")


def refused(refusal: Refusal) -> Response:
    """The error as a response."""
    return Response(encoded(error_of(refusal)), refusal.status, refusal.headers, "application/json")


def documented(
    path: str, answers: Endpoint, text: str, fields: tuple[str, ...], *needed: str, named: bool = True
) -> APIRoute:
    """A bare endpoint as FastAPI documents it: `text`, and the names of the body's fields.

    `named` ones are the OpenAI API's, whose bodies name the model.
    """
    from fastapi.routing import APIRoute

    async def endpoint() -> None: ...

    endpoint.__doc__ = text
    shape = {
        "type": "object",
        "properties": {name: {} for name in fields},
        "required": [*(["model"] if named else []), *needed],
    }
    body = {"required": True, "content": {"application/json": {"schema": shape}}}
    name = path.removeprefix("/v1/").replace("/", "_")
    route = APIRoute(
        path,
        endpoint,
        methods=["POST"],
        tags=["v1" if named else "tasks"],
        name=name,
        openapi_extra={"requestBody": body},
    )
    route.app = answers
    return route


def keyed_router(server: Served, prefix: str) -> APIRouter:
    """A router behind the key."""
    from fastapi import APIRouter, Depends

    async def with_key(request: starlette.requests.Request) -> None:
        server.check_key(dict(request.scope["headers"]))
        no_parameters(request.scope)

    return APIRouter(prefix=prefix, tags=["v1"], dependencies=[Depends(with_key)])


def model_routes(server: Served) -> APIRouter:
    """The routes that tell what is served."""
    router = keyed_router(server, "/v1/models")
    card = {"id": server.name, "object": "model", "created": server.created, "owned_by": "formers"}
    card |= server.card

    @router.get("")
    async def models() -> dict[str, Any]:
        """What is served."""
        return {"object": "list", "data": [card]}

    @router.get("/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One model."""
        server.check_name(name)
        return card

    return router
