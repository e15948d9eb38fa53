"""The routes of text-embeddings-inference, where the task fits: `/embed`, `/rerank`, `/predict`; `/info`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers import __version__
from formers.serving.classify import Scope
from formers.serving.limits import Faults, Receive, Refusal, check_type, read_body, read_object, understood
from formers.serving.tasks.asked import Asked, check_known
from formers.serving.tasks.endpoint import TaskEndpoint, unrefused
from formers.serving.tasks.server import TaskServer
from formers.serving.writing.reply import Reply, documented, keyed_router, no_parameters

if TYPE_CHECKING:
    from fastapi import APIRouter
    from fastapi.routing import APIRoute

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        path: where.
        known: names of the body's fields.
        told: the body -> the one that the task's own route would get.
        listed: whether one input is answered by a list of one answer.
        kind: what `/info` calls the model.
        text: what it does.
    """

    path: str
    known: tuple[str, ...]
    told: Callable[[Body], dict[str, Any]]
    listed: bool
    kind: Mapping[str, Any]
    text: str


def _embed(body: Body) -> dict[str, Any]:
    own = {name: value for name, value in body.items() if name != "inputs"}
    return {"inputs": body.get("inputs"), "parameters": {"normalize": True, **own}}


def _rerank(body: Body) -> dict[str, Any]:
    inputs = {"query": body.get("query"), "documents": body.get("texts")}
    scores = {"function_to_apply": "none"} if _flag(body, "raw_scores") else {}
    kept = {"return_documents": True} if _flag(body, "return_text") else {}
    return {"inputs": inputs, "parameters": {**scores, **kept, "truncate": body.get("truncate")}}


def _predict(body: Body) -> dict[str, Any]:
    given = body.get("inputs")
    if isinstance(given, list) and given and all(isinstance(one, list) for one in given):
        inputs: Any = [_pair(one, f"inputs[{place}]") for place, one in enumerate(given)]
    else:
        inputs = _pair(given, "inputs")
    scores = {"function_to_apply": "none"} if _flag(body, "raw_scores") else {}
    return {"inputs": inputs, "parameters": {**scores, "truncate": body.get("truncate")}}


def _pair(given: Any, place: str) -> Any:
    """A text, or two: as the task's route is asked."""
    if not isinstance(given, list):
        return given
    if len(given) == 1:
        return given[0]
    if len(given) != 2:
        raise Refusal(422, f"{place} must be a text, or a list of two that are read as a pair")
    return {"text": given[0], "text_pair": given[1]}


def _flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise Refusal(422, f"{name} must be true or false")
    return bool(value)


ROUTES = {
    "sentence-embeddings": Route(
        "/embed",
        ("inputs", "normalize", "truncate", "prompt_name", "dimensions"),
        _embed,
        True,
        {"embedding": {"pooling": "model"}},
        "Turn texts into vectors, as text-embeddings-inference does.",
    ),
    "text-ranking": Route(
        "/rerank",
        ("query", "texts", "raw_scores", "return_text", "truncate"),
        _rerank,
        False,
        {"reranker": {}},
        "Rank texts by how they answer a query, as text-embeddings-inference does.",
    ),
    "text-classification": Route(
        "/predict",
        ("inputs", "raw_scores", "truncate"),
        _predict,
        False,
        {"classifier": {}},
        "Classify texts or pairs of them, as text-embeddings-inference does.",
    ),
}


class TeiEndpoint(TaskEndpoint):
    """Answers one path."""

    def __init__(self, server: TaskServer, route: Route) -> None:
        super().__init__(server)
        self.route = route

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply, record: dict[str, Any]) -> None:
        asked = await self._read(scope, receive)
        found = [unrefused(answer) for answer in await self._solved(asked, scope, receive, record)]
        many = self.route.listed or not asked.single
        body = b"[" + b",".join(one.body for one in found) + b"]" if many else found[0].body
        await self._send(reply, body, "application/json")
        self.tasks.clients.remember(scope)

    async def _read(self, scope: Scope, receive: Receive) -> Asked:
        server, headers = self.tasks, dict(scope["headers"])
        server.check_open()
        server.check_key(headers)
        no_parameters(scope)
        check_type(headers)
        return await understood(await read_body(receive, headers, server.settings), self._told)

    def _told(self, raw: bytes) -> Asked:
        most = self.tasks.settings.max_texts * 4
        body = read_object(raw, Faults(), most, most)
        check_known(body, self.route.known, "key")
        return self.tasks.reader.of_object(self.route.told(body))


def tei_endpoints(server: TaskServer) -> list[APIRoute]:
    """The endpoint of the task; none where it has none there."""
    route = ROUTES.get(server.task)
    if route is None:
        return []
    needed = route.known[:2] if route.path == "/rerank" else route.known[:1]
    answers = TeiEndpoint(server, route)
    return [documented(route.path, answers, route.text, route.known, *needed, named=False)]


def info_routes(server: TaskServer) -> APIRouter:
    """`/info`: what is served, and within which limits."""
    router = keyed_router(server, "/info")
    settings, route = server.settings, ROUTES.get(server.task)

    @router.get("")
    async def info() -> dict[str, Any]:
        """What is served, and within which limits."""
        return {
            "model_id": server.name,
            "model_sha": server.revision,
            "model_dtype": str(server.pipe.dtype).removeprefix("torch."),
            "model_type": {server.task: {}} if route is None else route.kind,
            "model_pipeline_tag": server.task,
            "max_concurrent_requests": settings.max_queued_requests,
            "max_input_length": getattr(server.pipe, "max_length", None),
            "max_batch_tokens": server.engine.max_batch_tokens,
            "max_client_batch_size": settings.max_texts,
            "auto_truncate": True,
            "version": __version__,
        }

    return router
