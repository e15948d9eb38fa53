"""The routes of the Hub's Inference API: `POST /` and `POST /models/NAME`, for the task that is served."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from formers.serving.classify import Scope, encoded
from formers.serving.limits import Receive, Refusal, check_type, quoted, read_body, understood
from formers.serving.tasks.asked import Asked
from formers.serving.tasks.server import TaskServer
from formers.serving.tasks.solver import Solved
from formers.serving.work import Answer
from formers.serving.writing.reply import Endpoint, Reply, documented, no_parameters

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.routing import APIRoute

_TYPES = {413: "validation", 422: "validation", 429: "overloaded", 503: "overloaded"}


def error_of(refusal: Refusal) -> dict[str, Any]:
    """An error in the API's form: one sentence."""
    said = refusal.detail
    if not isinstance(said, str):
        place = ".".join(str(part) for part in said[0]["loc"][1:])
        said = f"{place}: {said[0]['msg']}" if place else said[0]["msg"]
    kind = _TYPES.get(refusal.status, "generation" if refusal.status >= 500 else "validation")
    return {"error": said, "error_type": kind}


def refused(refusal: Refusal) -> Response:
    """The error as a response."""
    return Response(encoded(error_of(refusal)), refusal.status, refusal.headers, "application/json")


class TaskEndpoint(Endpoint):
    """Answers one path."""

    def __init__(self, server: TaskServer) -> None:
        super().__init__(server)
        self.tasks = server

    def told(self, refusal: Refusal) -> dict[str, Any]:
        """An error in the form of the Hub's API."""
        return error_of(refusal)

    def _count(self, record: dict[str, Any]) -> None:
        """All is counted where it is answered."""

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        server = self.tasks
        asked = await self._read(scope, receive)
        answers = await self._solved(asked, scope, receive, record)
        found = [unrefused(answer) for answer in answers]
        if not asked.single:
            body = b"[" + b",".join(one.body for one in found) + b"]"
        else:
            body = b"[" + found[0].body + b"]" if server.row.wrapped else found[0].body
        await self._send(reply, body, found[0].kind)
        server.clients.remember(scope)

    async def _solved(
        self, asked: Asked, scope: Scope, receive: Receive, record: dict[str, Any]
    ) -> list[Answer]:
        server = self.tasks
        record |= {"task": server.task, "inputs": len(asked.asks)}
        client = server.clients.of(scope)
        answers = await server.answers(asked.asks, receive, client, f"a request at {scope['path']}")
        server.metrics.answers(answers)
        return answers

    async def _send(self, reply: Reply, body: bytes, kind: str) -> None:
        await reply.begin(200, {"content-type": kind, "content-length": str(len(body))})
        await reply.part(body, more=False)

    async def _read(self, scope: Scope, receive: Receive) -> Asked:
        """What a request asks.

        Raises:
            Refusal: it cannot be answered.
        """
        server, headers = self.tasks, dict(scope["headers"])
        server.check_open()
        server.check_key(headers)
        no_parameters(scope)
        reader, row = server.reader, server.row
        kind, boundary = _type_of(headers)
        if kind == "multipart/form-data":
            _check_origin(headers, kind)
            read = lambda raw: reader.of_form(raw, boundary)  # noqa: E731
        elif row.file is not None and (kind in ("", "application/octet-stream") or _is_media(kind)):
            _check_origin(headers, kind)
            read = reader.of_file
        else:
            if not kind.endswith("json"):
                also = (
                    f", multipart/form-data, or that of a {row.file}" if row.file else ", multipart/form-data"
                )
                said = quoted(kind) if kind else "none"
                raise Refusal(415, f"the Content-Type must be application/json{also}, but is {said}")
            check_type(headers)
            read = reader.of_json
        announced = headers.get(b"content-length", b"")
        size = min(int(announced), server.most_bytes) if announced[:20].isdigit() else server.most_bytes
        with server.holding(size):
            raw = await read_body(receive, headers, server.settings, server.most_bytes)
            return await understood(raw, read, row.media)


def unrefused(answer: Answer) -> Solved:
    """An answer that is none of a refused input.

    Raises:
        Refusal: it is.
    """
    if isinstance(answer.result, Refusal):
        raise answer.result
    found: Solved = answer.result
    return found


def _type_of(headers: dict[bytes, bytes]) -> tuple[str, bytes]:
    """The type of a body, and the boundary of a form."""
    said = headers.get(b"content-type", b"").decode("latin-1")
    if not said:
        return "", b""
    message = Message()
    message["content-type"] = said
    boundary = message.get_boundary("")
    kind = message.get_content_type() if "/" in said else said
    if kind == "multipart/form-data" and not (0 < len(boundary) <= 70 and boundary.isascii()):
        raise Refusal(422, "the Content-Type of a form needs a boundary of 1 to 70 characters")
    return kind, boundary.encode() if kind == "multipart/form-data" else b""


def _is_media(kind: str) -> bool:
    return kind.split("/")[0] in ("image", "audio", "video")


def _check_origin(headers: dict[bytes, bytes], kind: str) -> None:
    """Take what a browser sends without asking from pages of this server alone."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        raise Refusal(
            415, f"pages of other origins must send application/json, not {kind or 'an unnamed type'}"
        )
    if (packed := headers.get(b"content-encoding", b"identity").strip().lower()) != b"identity":
        said = quoted(packed.decode("latin-1"))
        raise Refusal(415, f"the body must be sent as it is, without Content-Encoding, but this is {said}")


def task_endpoints(server: TaskServer) -> list[APIRoute]:
    """The endpoints, answered by the bare handler."""
    answers = TaskEndpoint(server)
    name, task = server.name, server.task
    paths = ("/", f"/models/{name}", f"/pipeline/{task}/{name}", f"/models/{name}/pipeline/{task}")
    text = f"The task {task}, as the Hub's Inference API has it: inputs and parameters."
    return [
        documented(path, answers, text, ("inputs", "parameters"), "inputs", named=False) for path in paths
    ]


def form_routes(server: TaskServer) -> APIRouter:
    """`/task`: what the page must know to ask."""
    from fastapi import APIRouter

    router, row = APIRouter(tags=["state"]), server.row

    @router.get("/task")
    async def task() -> dict[str, Any]:
        """The task, ways to ask it and its parameters."""
        return {
            "task": server.task,
            "name": server.name,
            "needs_key": bool(server.settings.api_key),
            "forms": [
                {
                    "fields": [
                        {"name": name, "kind": kind, "optional": name in form.optional}
                        for name, kind in form.fields.items()
                    ]
                }
                for form in row.forms
            ],
            "parameters": row.known,
            "needed": row.needed,
            "shows": row.shows,
        }

    return router
