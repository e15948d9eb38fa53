"""The FastAPI application: what it serves under which path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from formers import __version__
from formers.desk.queue import QueueError
from formers.serving.classify import CLIENT_GONE, Classify, Scope, Send, encoded
from formers.serving.connection import MOST_FIELDS, MOST_HEAD
from formers.serving.human import page_routes, queue_routes
from formers.serving.life import Life
from formers.serving.limits import MOST_FAULTS, PAGE, REFUSED, Gone, Receive, Refusal, quoted
from formers.serving.rollout.front import Front, rollout_routes
from formers.serving.rollout.rollout import Rollout
from formers.serving.schemas import Classified, ClassifiedMany, ClassifyRequest, Health, ModelCard, Problem
from formers.serving.service import Service
from formers.serving.settings import Settings

MOST_QUERY = 4096  # bytes

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from fastapi.routing import APIRoute

    _Parts = tuple[list[APIRoute], list[APIRouter], Callable[[Refusal], Response]]


def create_app(
    classifier: Any, settings: Settings | None = None, *, task: str | None = None, **changes: Any
) -> FastAPI:
    """Make the application; its lifespan starts and stops the engine.

    Under a server of your own it bounds heads, bodies, texts, times and what waits. What lies below requests
    is that server's then: connections at once, slow heads, tiny chunks, how fast bodies come, clients that
    leave. `serve` bounds these too.

    Args:
        classifier: a pipeline, the name or folder of a model, or anything that satisfies
            `formers.serving.Classifier`.
        settings: limits and places; the defaults of `Settings` when left out.
        task: what the model is served for, behind the Hub's Inference API; None for what its head says.
        **changes: single settings, as in `create_app(pipe, threshold=0.8)`.

    Raises:
        TypeError: for an unknown setting, or something that cannot classify.
        ValueError: for a setting out of range.
    """
    from formers.serving.adapt import service_of

    return app_of(service_of(classifier, Settings.of(settings, **changes), task))


def app_of(service: Life) -> FastAPI:
    """Make the application around a service."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # pages and large bodies take turns in one thread: many would fight the model for the interpreter
        to_thread.current_default_thread_limiter().total_tokens = 1
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="formers",
        summary=service.summary,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere; /docs here needs no network
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(_health_routes(service))
    bare, routers, answer = _parts(service)
    app.router.routes[:0] = bare
    for router in routers:
        app.include_router(router)
    paths = frozenset(route.path for route in bare)
    app.add_middleware(_Door, routes=app.router.routes, service=service, bare=paths)
    app.add_exception_handler(Refusal, lambda request, error: answer(error))
    app.add_exception_handler(Gone, lambda request, error: Response(status_code=CLIENT_GONE))
    app.add_exception_handler(404, lambda request, error: _nothing(request, error, answer, paths))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(QueueError, _queue_failed)
    if isinstance(service, Rollout):
        service.dress(app_of)
        app.add_middleware(Front, rollout=service)
    return app


def _parts(service: Any) -> _Parts:
    if isinstance(service, Service):
        return _of_classifier(service)
    if isinstance(service, Rollout):
        return [], [rollout_routes(service)], _answer
    return _of_task(service) if hasattr(service, "task") else _of_v1(service)


def _of_task(service: Any) -> _Parts:
    from formers.serving.tasks.endpoint import form_routes, refused, task_endpoints
    from formers.serving.tasks.tei import info_routes, tei_endpoints

    bare = [*task_endpoints(service), *tei_endpoints(service)]
    return bare, [info_routes(service), form_routes(service), page_routes("task.html")], refused


def _of_classifier(service: Service) -> _Parts:
    from formers.serving.tasks.plain import classifying_endpoints

    return (
        [_classify_route(service), *classifying_endpoints(service)],
        [_state_routes(service), queue_routes(service), page_routes("index.html")],
        _answer,
    )


def _of_v1(service: Any) -> _Parts:
    from formers.serving.writing.reply import model_routes, refused

    if service.writes:
        from formers.serving.writing.endpoint import response_routes, writing_endpoints

        routers = [model_routes(service), response_routes(service), page_routes("chat.html")]
        from formers.serving.tasks.writing import generating_endpoints

        return [*writing_endpoints(service), *generating_endpoints(service)], routers, refused
    from formers.serving.embeddings import embedding_endpoint
    from formers.serving.tasks.plain import embedding_endpoints

    return (
        [embedding_endpoint(service), *embedding_endpoints(service)],
        [model_routes(service), page_routes()],
        refused,
    )


class _Door:
    """The bound of heads; what all paths but the bare ones share: their turn; HEAD as GET, OPTIONS, Allow.

    RFC 9110, 9.3 and 10.2.

    FastAPI leaves HEAD to each route and has no OPTIONS.
    """

    def __init__(self, app: Any, routes: Sequence[Any], service: Life, bare: frozenset[str]) -> None:
        self.app, self.routes, self.service, self.bare = app, routes, service, bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        heads = scope["headers"]
        if len(heads) > MOST_FIELDS or sum(len(key) + len(value) for key, value in heads) > MOST_HEAD:
            await self.service.pace.turn(REFUSED)
            await _answer(Refusal(431, "the head of the request is too large"))(scope, receive, send)
            return
        if scope["method"] == "POST" and scope["path"] in self.bare:
            await self.app(scope, receive, send)
            return
        await self.service.pace.turn(PAGE)
        head = scope["method"] == "HEAD"
        if len(scope["query_string"]) > MOST_QUERY:
            await _answer(Refusal(414, f"the query has more than {MOST_QUERY} bytes"))(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and (allowed := self._allowed(scope)):
            await Response(status_code=204, headers={"allow": allowed})(scope, receive, send)
            return
        over = False

        async def written(message: MutableMapping[str, Any]) -> None:
            nonlocal over
            if message["type"] == "http.response.start" and message["status"] == 405:
                kept = [pair for pair in message["headers"] if pair[0] != b"allow"]
                message = {**message, "headers": [*kept, (b"allow", self._allowed(scope).encode())]}
            elif head and message["type"] == "http.response.body":
                message = {"type": "http.response.body"}
            if not over:
                await send(message)
            over = head and message["type"] == "http.response.body"
            if message.get("more_body"):
                await self.service.pace.turn(len(message["body"]))

        await self.app({**scope, "method": "GET"} if head else scope, receive, written)

    def _allowed(self, scope: Scope) -> str:
        """The methods that the path of `scope` takes; empty where there is no such path."""
        found = [
            method
            for method in ("GET", "POST", "DELETE")
            if any(
                method in (getattr(route, "methods", None) or ())
                if scope["path"] == "*"
                else route.matches({**scope, "method": method})[0] == Match.FULL
                for route in self.routes
            )
        ]
        return ", ".join([*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]) if found else ""


def _answer(refusal: Refusal) -> Response:
    body = encoded({"detail": refusal.detail})  # JSONResponse cannot quote half of a surrogate pair
    return Response(body, refusal.status, refusal.headers, "application/json")


async def _invalid(request: Request, error: Any) -> Response:
    """As FastAPI answers it, but without the input, which may hold a text."""
    faults = [{key: fault[key] for key in ("loc", "msg", "type")} for fault in error.errors()[:MOST_FAULTS]]
    return _answer(Refusal(422, faults))


def _nothing(
    request: Request, error: Any, answer: Callable[[Refusal], Response], paths: Iterable[str]
) -> Response:
    """As it was raised; of a path that there is not, what there is."""
    said = str(error.detail)
    if said == "Not Found":
        found = quoted(request.url.path)
        said = f"there is nothing at {found} here: this server answers {', '.join(sorted(paths))}; see /docs"
    return answer(Refusal(404, said))


async def _queue_failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, {"retry-after": "5"})


def _classify_route(service: Service) -> APIRoute:
    """The route as FastAPI documents it, answered by the bare handler."""
    from fastapi.routing import APIRoute

    async def classify(body: ClassifyRequest) -> None:
        """Classify one text or several.

        Each answer has the best label and its confidence. Where the confidence lies below the label's
        threshold, `needs_human` is true and the text is kept in the human queue under `queue_id`.
        """

    errors = {
        401: "The API key is missing or wrong (only where the server asks for one).",
        408: "The body did not arrive in time.",
        413: "Too large: the body, a text, or the number of texts. Nothing was tokenised.",
        415: "The Content-Type is not application/json.",
        500: "The model failed on this request.",
        503: "At capacity, warming up or stopping; Retry-After says when to come back.",
        504: "Not done within the time limit.",
    }
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": text} for status, text in errors.items()
    }
    answer = Classified | ClassifiedMany
    said = "The model did not answer in time or failed, and the texts went to the human queue."
    responses[202] = {"model": answer, "description": said}
    route = APIRoute(
        "/classify", classify, methods=["POST"], response_model=answer, responses=responses, tags=["classify"]
    )
    route.app = Classify(service)
    return route


def _health_routes(service: Life) -> APIRouter:
    from fastapi import APIRouter

    router = APIRouter(tags=["state"])

    def health(response: Response, what: str) -> Health:
        service.look_at_engine()
        state = service.state
        found = Health(status=state, live=state != "failed", ready=state == "ready", problem=service.problem)  # type: ignore[arg-type]  # the states of the service are those of the record
        response.status_code = 200 if getattr(found, what) else 503
        return found

    @router.get("/health", response_model=Health, responses={503: {"model": Health}})
    @router.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """200 when the server takes requests; 503 while it warms up, stops, or after a failure."""
        return health(response, "ready")

    @router.get("/health/live", response_model=Health, responses={503: {"model": Health}})
    async def live(response: Response) -> Health:
        """200 unless the server is beyond repair."""
        return health(response, "live")

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Prometheus metrics."""
        service.refresh_gauges()
        body, kind = service.metrics.render()
        return Response(body, headers={"content-type": kind})

    return router


def _state_routes(service: Service) -> APIRouter:
    from fastapi import APIRouter

    router = APIRouter(tags=["state"])

    @router.get("/model")
    async def model() -> ModelCard:
        """What the server runs, and within which limits."""
        settings = service.settings
        return ModelCard(
            revision=service.revision,
            labels=service.labels,
            thresholds={label: service.threshold.of(label) for label in service.labels},
            max_tokens=service.classifier.max_length,
            max_chars=settings.max_chars,
            max_texts=settings.max_texts,
            needs_key=bool(settings.api_key),
        )

    return router
