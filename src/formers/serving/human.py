"""The human queue over HTTP, and the page to work it at."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from formers.desk.queue import LARGEST, AlreadyResolved, Item, NotThere
from formers.serving.limits import Faults, check_type, parsed, read_body
from formers.serving.schemas import Problem, QueueItem, QueuePage, Resolution
from formers.serving.service import Service

if TYPE_CHECKING:
    from fastapi import APIRouter

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


def queue_routes(service: Service) -> APIRouter:
    """The routes that list, decide and export what waits for a person; behind the key, where there is one."""
    from fastapi import APIRouter, Depends, Query

    def with_key(request: Request) -> None:
        service.check_key(dict(request.scope["headers"]))

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
            items=[QueueItem.model_validate(item) for item in found[:limit]],
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
            return QueueItem.model_validate(service.queue.get(number))
        except NotThere as error:
            raise HTTPException(404, str(error)) from None

    body = {"required": True, "content": {"application/json": {"schema": Resolution.model_json_schema()}}}
    errors: dict[int | str, dict[str, Any]] = dict.fromkeys((404, 408, 409, 413, 415), {"model": Problem})

    @router.post("/{number}/resolve", responses=errors, openapi_extra={"requestBody": body})
    async def resolve(number: int, request: Request) -> QueueItem:
        """Record a person's decision. The same one may be sent again; another is a conflict (409)."""
        headers = dict(request.scope["headers"])
        check_type(headers)
        resolution = parsed(await read_body(request.receive, headers, service.settings), Resolution)
        if resolution.label not in service.labels:
            labels = ", ".join(service.labels)
            faults = Faults()
            said = f"{resolution.label!r} is none of the model's labels: {labels}"
            faults.add("literal_error", said, "label")
            faults.refuse()
        try:
            settled = service.queue.resolve(number, resolution.label, resolution.by, resolution.note)
            return QueueItem.model_validate(await asyncio.wrap_future(settled))
        except NotThere as error:
            raise HTTPException(404, str(error)) from None
        except AlreadyResolved as error:
            raise HTTPException(409, str(error)) from None


# columns of the export, and what an item calls them
_EXPORTED = {
    "text": "text",
    "label": "resolved_label",
    "id": "id",
    "predicted": "label",
    "score": "score",
    "by": "resolved_by",
    "note": "resolved_note",
    "revision": "revision",
}


def _row(item: Item) -> list[Any]:
    return [getattr(item, name) for name in _EXPORTED.values()]


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


def page_routes() -> APIRouter:
    """The page, its files, and the page of the docs."""
    from fastapi import APIRouter

    router = APIRouter(include_in_schema=False)
    files = {
        entry.name: entry.read_bytes()
        for entry in resources.files("formers.desk").joinpath("page").iterdir()
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
