"""The endpoints under `/v1`, as bare ASGI applications: whole answers, and streams of server-sent events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import starlette.requests
from starlette.responses import Response

from formers.generation.engine import Request
from formers.serving.classify import CLIENT_GONE, Scope, Send, encoded
from formers.serving.limits import REFUSED, Gone, Receive, Refusal, check_type, read_body, understood
from formers.serving.writing.asked import CHAT_FIELDS, TEXT_FIELDS, Asked
from formers.serving.writing.forms import structure_for
from formers.serving.writing.shapes import Shape
from formers.serving.writing.texts import Piece, Pieces
from formers.serving.writing.values import BadField
from formers.serving.writing.writer import Writer

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.routing import APIRoute

logger = logging.getLogger("formers.serving")

_DONE = b"data: [DONE]\n\n"
_EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_KINDS = {401: "authentication_error", 404: "not_found_error", 500: "server_error", 503: "server_error"}


class _Reply:
    """What is sent for one request, and whether that has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def part(self, body: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = encoded(value)
        known = {"content-type": "application/json", "content-length": str(len(body))}
        await self.begin(status, {**known, **(headers or {})})
        await self.part(body, more=False)


class Endpoint:
    """Answers one path.

    Args:
        writer: the server.
        read: a body -> what it asks for.
    """

    def __init__(self, writer: Writer, read: Callable[[bytes], Asked]) -> None:
        self.writer, self.read = writer, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started, wall = time.perf_counter(), time.time()
        reply = _Reply(send)
        record: dict[str, Any] = {"path": scope["path"]}
        try:
            await self._answer(scope, receive, reply, record)
        except Refusal as refusal:
            await self.writer.pace.turn(REFUSED)
            await _refuse(reply, refusal)
        except Gone:
            reply.status = CLIENT_GONE
        except Exception:
            logger.exception("a request at %s failed", scope["path"])
            await _refuse(reply, Refusal(500, "the server failed on this request"))
        finally:
            self._note(wall, time.perf_counter() - started, reply.status, record)

    def _note(self, wall: float, seconds: float, status: int, record: dict[str, Any]) -> None:
        """Count the request and write its line."""
        writer, first = self.writer, record.get("first_token_ms")
        tokens = [record.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
        writer.metrics.request(status, seconds, *tokens, None if first is None else first / 1000)
        known = {"status": status, "revision": writer.revision, "latency_ms": round(seconds * 1000, 3)}
        writer.log.write(wall, {**known, **record})

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply, record: dict[str, Any]) -> None:
        writer, headers = self.writer, dict(scope["headers"])
        writer.check_open()
        writer.check_key(headers)
        check_type(headers)
        asked = await understood(await read_body(receive, headers, writer.settings), self.read)
        if asked.user is not None:
            record["user"] = asked.user
        if asked.form is not None:
            asked.structure = await structure_for(asked.form, writer.tokenizer)
        shape = Shape(asked, writer.name, writer.bytes)
        client = str((scope.get("client") or ("",))[0])
        with writer.begun(asked, client) as (pieces, requests):
            watcher = asyncio.get_running_loop().create_task(_watch(receive, pieces))
            try:
                if asked.streams:
                    await _stream(pieces, shape, reply)
                else:
                    await _whole(pieces, shape, reply)
            except OSError:  # what is written goes nowhere
                raise Gone from None
            finally:
                watcher.cancel()
                record |= _counts(requests, shape)


async def _watch(receive: Receive, pieces: Pieces) -> None:
    """Notice a client that hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    pieces.leave()


async def _whole(pieces: Pieces, shape: Shape, reply: _Reply) -> None:
    found = [_sound(piece) async for piece in pieces.read(len(shape.written))]
    await reply.whole(200, shape.whole(found))


async def _stream(pieces: Pieces, shape: Shape, reply: _Reply) -> None:
    """Events as they come; an error behind the first one is an event, too."""
    async for piece in pieces.read(len(shape.written)):
        _sound(piece)
        if not reply.status:
            await reply.begin(200, _EVENTS)
        await reply.part(b"".join(b"data: %b\n\n" % encoded(event) for event in shape.chunks(piece)))
    usage = b"data: %b\n\n" % encoded(shape.last()) if shape.asked.counts else b""
    await reply.part(usage + _DONE, more=False)


def _sound(piece: Piece) -> Piece:
    """A piece of a text that did not fail.

    Raises:
        Refusal: 500 where the model failed, 503 where the server stops.
    """
    ended = piece.ended
    if ended is not None and ended.reason == "failed":
        logger.error("the model failed", exc_info=ended.error)
        raise Refusal(500, f"the model failed: {type(ended.error).__name__}")
    if ended is not None and ended.reason == "cancelled":
        raise Refusal(503, "the server is stopping", retry_after=1)
    return piece


async def _refuse(reply: _Reply, refusal: Refusal) -> None:
    """The error in the API's form; into a stream that has begun as its last event."""
    if reply.status:
        reply.status = refusal.status  # for the log
        await reply.part(b"data: %b\n\n" % encoded(_error(refusal)), more=False)
    else:
        await reply.whole(refusal.status, _error(refusal), refusal.headers)


def _error(refusal: Refusal) -> dict[str, Any]:
    param, code = (refusal.param, refusal.code) if isinstance(refusal, BadField) else (None, None)
    kind = _KINDS.get(refusal.status, "invalid_request_error")
    return {"error": {"message": refusal.detail, "type": kind, "param": param, "code": code}}


def refused(refusal: Refusal) -> Response:
    """The error as a response."""
    return Response(encoded(_error(refusal)), refusal.status, refusal.headers, "application/json")


def _counts(requests: list[Request], shape: Shape) -> dict[str, Any]:
    first = [one.first_at - one.arrived for one in requests if one.first_at is not None]
    counts: dict[str, Any] = {
        "prompt_tokens": sum(map(len, shape.asked.prompts)),
        "completion_tokens": sum(len(one.tokens) for one in requests),
    }
    return {**counts, "first_token_ms": round(min(first) * 1000, 3)} if first else counts


def model_routes(writer: Writer) -> APIRouter:
    """The routes that tell what is served."""
    from fastapi import APIRouter, Depends

    async def with_key(request: starlette.requests.Request) -> None:
        writer.check_key(dict(request.scope["headers"]))

    router = APIRouter(prefix="/v1/models", tags=["writing"], dependencies=[Depends(with_key)])
    card = {"id": writer.name, "object": "model", "created": writer.created, "owned_by": "formers"}
    card = {**card, "max_model_len": writer.reader.room}

    @router.get("")
    async def models() -> dict[str, Any]:
        """What is served."""
        return {"object": "list", "data": [card]}

    @router.get("/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One model."""
        writer.reader.check_name(name)
        return card

    return router


def writing_endpoints(writer: Writer) -> list[APIRoute]:
    """The endpoints that write, as FastAPI documents them, answered by the bare handlers."""
    from fastapi.routing import APIRoute

    async def chat() -> None:
        """Answer a conversation: the OpenAI API's chat completions, whole or streamed."""

    async def text() -> None:
        """Go on with texts: the OpenAI API's completions, whole or streamed."""

    found = []
    for path, documented, read, fields, needed in (
        ("/v1/chat/completions", chat, writer.reader.chat, CHAT_FIELDS, "messages"),
        ("/v1/completions", text, writer.reader.text, TEXT_FIELDS, "prompt"),
    ):
        shape = {"type": "object", "properties": {name: {} for name in fields}, "required": ["model", needed]}
        body = {"required": True, "content": {"application/json": {"schema": shape}}}
        route = APIRoute(
            path, documented, methods=["POST"], tags=["writing"], openapi_extra={"requestBody": body}
        )
        route.app = Endpoint(writer, read)
        found.append(route)
    return found
