"""The endpoints that write: whole answers, and streams of server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from starlette.responses import Response

from formers.generation.engine import Request
from formers.serving.classify import Scope
from formers.serving.limits import Gone, Receive, Refusal
from formers.serving.writing.asked import CHAT_FIELDS, TEXT_FIELDS, Asked
from formers.serving.writing.forms import structure_for
from formers.serving.writing.reply import Endpoint, Reply, documented, keyed_router
from formers.serving.writing.responses import RESPONSE_FIELDS, AskedResponse, ResponseShape
from formers.serving.writing.shapes import Shape
from formers.serving.writing.texts import Piece, Pieces
from formers.serving.writing.writer import Writer

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.routing import APIRoute

logger = logging.getLogger("formers.serving")

A = TypeVar("A", bound=Asked)
_EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Writing(Endpoint, Generic[A]):
    """Answers one path.

    Args:
        writer: the server.
        read: a body -> what it asks for.
        shape: what was asked for -> what writes the answer.
        aside: whether even small bodies take long to read.
    """

    def __init__(
        self, writer: Writer, read: Callable[[bytes], A], shape: Callable[[A], Shape], aside: bool = False
    ) -> None:
        super().__init__(writer, aside)
        self.writer, self.read, self.shape = writer, read, shape

    def _count(self, record: dict[str, Any]) -> None:
        first = record.get("first_token_ms")
        tokens = [record.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
        self.writer.metrics.written(*tokens, None if first is None else first / 1000)

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        writer = self.writer
        asked = await self._asked(scope, receive, self.read)
        if asked.user is not None:
            record["user"] = asked.user
        if asked.form is not None:
            asked.structure = await structure_for(asked.form, writer.tokenizer)
        shape = self.shape(asked)
        reply.failed = shape.failed
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


async def _whole(pieces: Pieces, shape: Shape, reply: Reply) -> None:
    found = [_sound(piece) async for piece in pieces.read(len(shape.written))]
    await reply.whole(200, shape.whole(found))


async def _stream(pieces: Pieces, shape: Shape, reply: Reply) -> None:
    """Events as they come; an error behind the first one is an event, too."""
    if start := shape.start():
        await reply.begin(200, _EVENTS)
        await reply.part(start)
    async for piece in pieces.read(len(shape.written)):
        _sound(piece)
        if not reply.status:
            await reply.begin(200, _EVENTS)
        await reply.part(shape.events(piece))
    await reply.part(shape.end(), more=False)


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


def _counts(requests: list[Request], shape: Shape) -> dict[str, Any]:
    first = [one.first_at - one.arrived for one in requests if one.first_at is not None]
    counts: dict[str, Any] = {
        "prompt_tokens": sum(map(len, shape.asked.prompts)),
        "completion_tokens": sum(len(one.tokens) for one in requests),
    }
    return {**counts, "first_token_ms": round(min(first) * 1000, 3)} if first else counts


def writing_endpoints(writer: Writer) -> list[APIRoute]:
    """The endpoints that write, answered by the bare handlers."""
    reader = writer.reader

    def shape(asked: Asked) -> Shape:
        return Shape(asked, writer.name, writer.bytes)

    def response_shape(asked: AskedResponse) -> Shape:
        return ResponseShape(asked, writer.name, writer.bytes, writer.kept)

    chat = "Answer a conversation: the OpenAI API's chat completions, whole or streamed."
    text = "Go on with texts: the OpenAI API's completions, whole or streamed."
    response = "Answer a conversation that is kept for the next turn: the OpenAI API's responses."
    answers = Writing(writer, reader.response, response_shape, aside=True)
    return [
        documented(
            "/v1/chat/completions", Writing(writer, reader.chat, shape), chat, CHAT_FIELDS, "messages"
        ),
        documented("/v1/completions", Writing(writer, reader.text, shape), text, TEXT_FIELDS, "prompt"),
        documented("/v1/responses", answers, response, RESPONSE_FIELDS, "input"),
    ]


def response_routes(writer: Writer) -> APIRouter:
    """The routes of responses that are kept."""
    router = keyed_router(writer, "/v1/responses")

    @router.get("/{number}")
    async def get(number: str) -> Response:
        """A response that was stored."""
        return Response(writer.kept.answer(number), media_type="application/json")

    @router.delete("/{number}")
    async def delete(number: str) -> dict[str, Any]:
        """Forget a response."""
        writer.kept.remove(number)
        return {"id": number, "object": "response", "deleted": True}

    return router
