"""The FastAPI application: what it serves under which path."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from formers import __version__
from formers.serving.handler import Classify, encoded
from formers.serving.limits import Refusal
from formers.serving.queue import LARGEST, AlreadyResolved, Item, NotThere, QueueError
from formers.serving.schemas import (
    Classified,
    ClassifiedMany,
    ClassifyRequest,
    Health,
    ModelCard,
    Problem,
    QueueItem,
    QueuePage,
    Resolution,
    Score,
)
from formers.serving.service import Service
from formers.serving.settings import Settings

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from fastapi.routing import APIRoute

_PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_Status = Literal["open", "resolved", "all"]


def create_app(classifier: Any, settings: Settings | None = None, **changes: Any) -> FastAPI:
    """Make the application; its lifespan starts and stops the engine.

    Args:
        classifier: a text-classification pipeline, the name or folder of a model, or anything that satisfies
            `formers.serving.Classifier`.
        settings: limits and places; the defaults of `Settings` when left out.
        **changes: single settings, as in `create_app(pipe, threshold=0.8)`.

    Raises:
        TypeError: for an unknown setting, or something that cannot classify.
        ValueError: for a setting out of range.
    """
    from formers.serving.adapt import service_of

    return app_of(service_of(classifier, Settings.of(settings, **changes)))


def app_of(service: Service) -> FastAPI:
    """Make the application around a service."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="formers",
        summary="A text classifier, and the queue for what a person must decide.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere; /docs here needs no network
        redoc_url=None,
    )
    app.state.service = service
    app.router.routes.insert(0, Route("/classify", Classify(service), methods=["POST"]))
    app.include_router(_state_routes(service))
    app.include_router(_queue_routes(service))
    app.include_router(_page_routes())
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(QueueError, _queue_failed)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _Json(JSONResponse):
    """Takes what a refusal may quote of a request, half of a surrogate pair included."""

    def render(self, content: Any) -> bytes:
        return encoded(content)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return _Json({"detail": error.detail}, error.status, headers)


async def _invalid(request: Request, error: Any) -> Response:
    """As FastAPI answers it, but without the input: that may hold a text, or half of a surrogate pair."""
    faults = [{key: fault[key] for key in ("loc", "msg", "type")} for fault in error.errors()]
    return _Json({"detail": faults}, 422)


async def _queue_failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, {"retry-after": "5"})


def _classify_route() -> APIRoute:
    """What the OpenAPI page says of /classify; the requests themselves go to the bare handler."""
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
    responses[202] = {
        "model": Classified | ClassifiedMany,
        "description": "The model did not answer in time or failed, and the texts went to the human queue.",
    }
    return APIRoute(
        "/classify",
        classify,
        methods=["POST"],
        response_model=Classified | ClassifiedMany,
        responses=responses,
        tags=["classify"],
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi

    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=[_classify_route(), *app.routes],
        )
    return app.openapi_schema


def _state_routes(service: Service) -> APIRouter:
    from fastapi import APIRouter

    router = APIRouter(tags=["state"])

    def health() -> Health:
        service.look_at_engine()
        return Health(
            status=service.state,  # type: ignore[arg-type]
            live=service.state != "failed",
            ready=service.state == "ready",
            problem=service.problem,
        )

    @router.get("/health", response_model=Health, responses={503: {"model": Health}})
    @router.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """200 when the server takes requests; 503 while it warms up, stops, or after a failure."""
        found = health()
        response.status_code = 200 if found.ready else 503
        return found

    @router.get("/health/live", response_model=Health, responses={503: {"model": Health}})
    async def live(response: Response) -> Health:
        """200 unless the server is beyond repair."""
        found = health()
        response.status_code = 200 if found.live else 503
        return found

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Prometheus metrics."""
        service.refresh_gauges()
        body, kind = service.metrics.render()
        return Response(body, headers={"content-type": kind})

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


def _queue_routes(service: Service) -> APIRouter:
    from fastapi import APIRouter, Depends, Query

    def with_key(request: Request) -> None:
        service.check_key(request.headers)

    router = APIRouter(
        prefix="/queue",
        tags=["human queue"],
        dependencies=[Depends(with_key)],
        responses={401: {"model": Problem}, 503: {"model": Problem}},
    )

    @router.get("")
    def items(
        status: _Status = "open",
        limit: int = Query(50, ge=1, le=500),
        after: int = Query(0, ge=0, le=LARGEST),
    ) -> QueuePage:
        """List items, the oldest first."""
        found = service.queue.items(None if status == "all" else status, limit=limit + 1, after=after)
        counts = service.queue.counts()
        return QueuePage(
            items=[_shown(item) for item in found[:limit]],
            next=found[limit - 1].id if len(found) > limit else None,
            open=counts["open"],
            resolved=counts["resolved"],
        )

    @router.get("/export", response_class=StreamingResponse)
    def export(form: Literal["csv", "jsonl"] = Query("csv", alias="format")) -> StreamingResponse:
        """Every resolved item as a row to train on: text and label first."""
        rows = _csv_rows(service) if form == "csv" else _json_rows(service)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        name = f"resolved.{form}"
        return StreamingResponse(
            rows, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'}
        )

    _item_routes(router, service)
    return router


def _item_routes(router: APIRouter, service: Service) -> None:
    @router.get("/{number}", responses={404: {"model": Problem}})
    def item(number: int) -> QueueItem:
        """One item."""
        try:
            return _shown(service.queue.get(number))
        except NotThere as error:
            raise HTTPException(404, str(error)) from None

    @router.post("/{number}/resolve", responses={404: {"model": Problem}, 409: {"model": Problem}})
    async def resolve(number: int, resolution: Resolution) -> QueueItem:
        """Record a person's decision. The same one may be sent again; another is a conflict (409)."""
        if resolution.label not in service.labels:
            fault = {
                "loc": ["body", "label"],
                "msg": f"{resolution.label!r} is none of the model's labels: {', '.join(service.labels)}",
                "type": "literal_error",
            }
            raise Refusal(422, [fault])
        try:
            settled = service.queue.resolve(number, resolution.label, resolution.by, resolution.note)
            return _shown(await asyncio.wrap_future(settled))
        except NotThere as error:
            raise HTTPException(404, str(error)) from None
        except AlreadyResolved as error:
            raise HTTPException(409, str(error)) from None


def _shown(item: Item) -> QueueItem:
    return QueueItem(
        id=item.id,
        created=_time(item.created),
        request_id=item.request_id,
        reason=item.reason,
        text=item.text,
        label=item.label,
        score=item.score,
        threshold=item.threshold,
        scores=[Score(label=label, score=score) for label, score in item.scores],
        tokens=item.tokens,
        revision=item.revision,
        status=item.status,  # type: ignore[arg-type]
        resolved_label=item.resolved_label,
        resolved_by=item.resolved_by,
        resolved_note=item.resolved_note,
        resolved=None if item.resolved is None else _time(item.resolved),
    )


def _time(seconds: float) -> str:
    stamp = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


_EXPORTED = ("text", "label", "id", "predicted", "score", "by", "note", "revision")


def _row(item: Item) -> list[Any]:
    return [
        item.text,
        item.resolved_label,
        item.id,
        item.label,
        item.score,
        item.resolved_by,
        item.resolved_note,
        item.revision,
    ]


def _csv_rows(service: Service) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_EXPORTED)
    for item in service.queue.resolved():
        writer.writerow(_row(item))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _json_rows(service: Service) -> Iterator[str]:
    for item in service.queue.resolved():
        yield json.dumps(dict(zip(_EXPORTED, _row(item), strict=True)), ensure_ascii=False) + "\n"


def _page_routes() -> APIRouter:
    from fastapi import APIRouter

    router = APIRouter(include_in_schema=False)
    files = {
        entry.name: entry.read_bytes()
        for entry in resources.files("formers.serving").joinpath("page").iterdir()
        if entry.is_file()
    }

    def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f"there is no page {name!r}")
        kind = _PAGE_TYPES.get(name[name.rfind(".") :], "application/octet-stream")
        return Response(files[name], media_type=kind, headers=_PAGE_HEADERS)

    @router.get("/")
    async def front() -> Response:
        return file("index.html")

    @router.get("/docs")
    async def docs() -> Response:
        return file("docs.html")

    @router.get("/redoc")
    async def redoc() -> Response:
        return RedirectResponse("/docs")

    @router.get("/page/{name}")
    async def page(name: str) -> Response:
        return file(name)

    return router
