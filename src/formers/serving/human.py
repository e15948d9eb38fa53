"""The human queue over HTTP, and the page to work it at."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from formers.core.notices import did_you_mean
from formers.desk.queue import LARGEST, AlreadyResolved, Item, NotThere
from formers.serving.limits import Faults, check_type, parsed, quoted, read_body, understood
from formers.serving.schemas import Problem, QueueItem, QueuePage, Resolution
from formers.serving.service import Service

if TYPE_CHECKING:
    from fastapi import APIRouter

_PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_Status = Literal["open", "resolved", "all"]


def queue_routes(service: Service) -> APIRouter:
    """The routes that list, decide and export what waits for a person; behind the key, where there is one."""
    from fastapi import APIRouter, Depends, Query
    from fastapi.exceptions import RequestValidationError

    async def with_key(request: Request) -> None:
        service.check_key(dict(request.scope["headers"]))

    async def with_known_parameters(request: Request) -> None:
        known = [one.alias for one in request.scope["route"].dependant.query_params]
        for name in request.query_params:
            if name not in known:  # `?staus=resolved` would list what is open
                said = f"unknown parameter {quoted(name)}{did_you_mean(name[:100], known)}"
                raise RequestValidationError([{"loc": ("query",), "msg": said, "type": "extra_forbidden"}])

    router = APIRouter(
        prefix="/queue",
        tags=["human queue"],
        dependencies=[Depends(with_key), Depends(with_known_parameters)],
        responses={401: {"model": Problem}, 503: {"model": Problem}},
    )

    @router.get("", responses={200: {"model": QueuePage}}, response_class=StreamingResponse)
    def items(
        status: _Status = "open",
        limit: int = Query(50, ge=1, le=500),
        after: int = Query(0, ge=0, le=LARGEST),
    ) -> StreamingResponse:
        """List items, the oldest first."""
        return _stream(_listing(service, None if status == "all" else status, limit, after))

    @router.get("/export", response_class=StreamingResponse)
    def export(form: Literal["csv", "jsonl"] = Query("csv", alias="format")) -> StreamingResponse:
        """Every resolved item as a row to train on: text and label first."""
        rows = _csv_rows(service) if form == "csv" else _json_rows(service)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        return _stream(rows, kind, {"content-disposition": f'attachment; filename="resolved.{form}"'})

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
        body = await read_body(request.receive, headers, service.settings)
        resolution = await understood(body, lambda body: parsed(body, Resolution))
        if resolution.label not in service.labels:
            labels = ", ".join(service.labels)
            faults = Faults()
            said = f"{quoted(resolution.label)} is none of the model's labels: {labels}"
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


def _stream(
    parts: Iterator[str], kind: str = "application/json", headers: dict[str, str] | None = None
) -> StreamingResponse:
    """An answer that is written while it is read: no page of the queue is held whole."""
    first = next(parts)  # a queue that cannot be read is told by the status
    return StreamingResponse(chain([first], parts), media_type=kind, headers=headers)


def _listing(service: Service, status: str | None, limit: int, after: int) -> Iterator[str]:
    counts = service.queue.counts()
    yield f'{{"open":{counts["open"]},"resolved":{counts["resolved"]},"items":['
    given, more = 0, False
    for items in service.queue.pages(status, after):
        shown, more = items[: limit - given], len(items) > limit - given
        text = ",".join(QueueItem.model_validate(item).model_dump_json() for item in shown)
        yield f",{text}" if given and text else text
        given += len(shown)
        after = shown[-1].id if shown else after
        if more:
            break
    yield f'],"next":{after if more else "null"}}}'


def _row(item: Item) -> list[Any]:
    return [getattr(item, name) for name in _EXPORTED.values()]


def _csv_rows(service: Service) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_EXPORTED)
    for items in service.queue.pages("resolved"):
        writer.writerows(map(_row, items))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _json_rows(service: Service) -> Iterator[str]:
    for items in service.queue.pages("resolved"):
        rows = (dict(zip(_EXPORTED, _row(item), strict=True)) for item in items)
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    yield ""


@cache
def _files() -> dict[str, bytes]:
    entries = resources.files("formers.desk").joinpath("page").iterdir()
    return {entry.name: entry.read_bytes() for entry in entries if entry.is_file()}


def page_file(name: str) -> Response:
    """One file of the pages.

    Raises:
        HTTPException: 404, there is none of that name.
    """
    files = _files()
    if name not in files:
        raise HTTPException(404, f"there is no page {quoted(name)}")
    kind = _PAGE_TYPES.get(name[name.rfind(".") :], "application/octet-stream")
    return Response(files[name], media_type=kind, headers=_PAGE_HEADERS)


def page_routes(front: str = "docs.html") -> APIRouter:
    """The page at `/`, the files of all pages, and the page of the docs."""
    from fastapi import APIRouter

    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def first() -> Response:
        return page_file(front)

    @router.get("/docs")
    async def docs() -> Response:
        return page_file("docs.html")

    @router.get("/redoc")
    async def redoc() -> Response:
        return RedirectResponse("/docs")

    @router.get("/page/{name}")
    async def page(name: str) -> Response:
        return page_file(name)

    return router
