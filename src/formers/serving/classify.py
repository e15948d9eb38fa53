"""The endpoint that must be fast: `/classify`, as a bare ASGI application."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from formers.desk.queue import Entry, QueueError, QueueFull
from formers.serving.batched import Failed
from formers.serving.limits import (
    REFUSED,
    Gone,
    Question,
    Receive,
    Refusal,
    check_type,
    parse,
    quoted,
    read_body,
    stray_parameter,
    understood,
)
from formers.serving.service import Service, top_scores
from formers.serving.work import Answer, ClientKey

logger = logging.getLogger("formers.serving")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LONGEST_ID = 128
_AT_ONCE = 2000  # scores that are listed before others have their turn
_JSON = (b"content-type", b"application/json")
CLIENT_GONE = 499  # nginx's number for a client that hung up; only in the log and the metrics
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encoded(value: Any) -> bytes:
    """Return `value` as JSON. Half of a surrogate pair, which a refusal may quote, becomes `?`."""
    return _dump(value).encode("utf-8", "replace")


class _Trace:
    """What the log says of one request."""

    __slots__ = ("answers", "human", "question", "request_id", "started", "status", "wall")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.wall = time.time()
        self.started = time.perf_counter()
        self.status = 500
        self.question: Question | None = None
        self.answers: list[Answer] = []
        self.human: dict[int, int] = {}  # place of the text -> number in the queue


class Classify:
    """POST /classify. It parses and checks by itself, so that little time is spent around the model."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._prefix = os.urandom(4).hex()
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        trace = _Trace(self._request_id(headers))
        extra: list[tuple[bytes, bytes]] = []
        try:
            _no_parameters(scope)
            body = await self._answer(headers, receive, trace, self.service.clients.of(scope))
        except Refusal as refusal:
            await self.service.pace.turn(REFUSED)
            trace.status = refusal.status
            body = encoded({"detail": refusal.detail})
            extra = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        except Gone:
            trace.status = CLIENT_GONE
            self._note(trace)
            return
        except Exception:
            logger.exception("request %s failed", trace.request_id)
            trace.status = 500
            body = b'{"detail":"the server failed on this request"}'
        try:
            await _send(send, trace, body, extra)
            if trace.answers:
                self.service.clients.remember(scope)
        finally:
            self._note(trace)

    async def _answer(
        self, headers: dict[bytes, bytes], receive: Receive, trace: _Trace, client: ClientKey
    ) -> bytes:
        service = self.service
        service.check_open()
        if service.settings.protect_classify:
            service.check_key(headers)
        check_type(headers)
        body = await read_body(receive, headers, service.settings)
        question = await understood(body, lambda body: parse(body, service.settings))
        trace.question = question
        what = f"request {trace.request_id}"
        try:
            trace.answers = await service.answers(question.texts, receive, client, what)
        except Failed as failed:
            return await self._fall_back(trace, question, failed)
        return await self._judge(trace, question)

    async def _judge(self, trace: _Trace, question: Question) -> bytes:
        """Hold the answers against the thresholds, keep what a person must see, and write the reply."""
        service = self.service
        service.count_answers(question.texts, trace.answers)
        results: list[dict[str, Any]] = []
        listed = 0
        entries: list[Entry] = []
        doubtful: list[int] = []
        for index, answer in enumerate(trace.answers):
            label, score = answer.result[0]
            result = _result(answer, label, score, service.revision)
            if question.top_k:
                result["scores"] = top_scores(answer.result, question.top_k)
            threshold = service.threshold.of(label)
            if threshold is None or score < threshold:
                result["needs_human"] = True
                doubtful.append(index)
                known = (label, score, threshold, answer.result, answer.tokens, service.revision)
                entries.append(Entry(question.texts[index], "below_threshold", trace.request_id, *known))
            results.append(result)
            listed += len(result.get("scores", ()))
            if listed > _AT_ONCE:
                listed = 0
                await asyncio.sleep(0)  # others are answered meanwhile
        if entries:
            for index, number in zip(doubtful, await self._keep(entries), strict=True):
                results[index]["queue_id"] = trace.human[index] = number
        trace.status = 200
        return _reply(results, question)

    async def _fall_back(self, trace: _Trace, question: Question, failed: Failed) -> bytes:
        """A person answers what the model did not, if the settings say so."""
        if self.service.settings.fallback != "human":
            raise failed
        entries = [
            Entry(
                text=text, reason=failed.reason, request_id=trace.request_id, revision=self.service.revision
            )
            for text in question.texts
        ]
        numbers = await self._keep(entries)
        trace.human = dict(enumerate(numbers))
        trace.status = 202
        known = {"needs_human": True, "reason": failed.reason, "revision": self.service.revision}
        nothing = dict.fromkeys(("label", "confidence", "score", "tokens"))
        return _reply([{**nothing, **known, "queue_id": number} for number in numbers], question)

    async def _keep(self, entries: list[Entry]) -> list[int]:
        """Put entries into the human queue and wait until they are on the disk."""
        try:
            numbers = await asyncio.shield(asyncio.wrap_future(self.service.queue.put(entries)))
        except QueueError as error:
            logger.error("%s", error)
            why = "is full" if isinstance(error, QueueFull) else "cannot be written"
            raise Refusal(503, f"the human queue {why}, and this needs a person", 5) from None
        self.service.metrics.needs_human(entries[0].reason, len(entries))
        return numbers

    def _request_id(self, headers: dict[bytes, bytes]) -> str:
        given = headers.get(b"x-request-id")
        if given and len(given) <= _LONGEST_ID and given.isascii() and (text := given.decode()).isprintable():
            return text
        return f"{self._prefix}-{next(self._count):x}"

    def _note(self, trace: _Trace) -> None:
        """Count the request and write its line."""
        seconds = time.perf_counter() - trace.started
        service = self.service
        service.metrics.request(trace.status, seconds)
        record: dict[str, Any] = {
            "request_id": trace.request_id,
            "status": trace.status,
            "revision": service.revision,
            "latency_ms": round(seconds * 1000, 3),
        }
        if trace.question is not None:
            record["texts"] = len(trace.question.texts)
        if trace.answers:
            record["tokens"] = sum(answer.tokens for answer in trace.answers)
            labels = [answer.result[0][0] for answer in trace.answers]
            scores = [round(answer.result[0][1], 6) for answer in trace.answers]
            if trace.question is not None and trace.question.single:
                record |= {"label": labels[0], "score": scores[0]}
            else:
                record |= {"labels": labels, "scores": scores}
        record["needs_human"] = len(trace.human)
        if service.settings.log_texts and trace.question is not None:
            record["text"] = trace.question.texts
        service.log.write(trace.wall, record)


def _no_parameters(scope: Scope) -> None:
    """Refuse a query: `?top_k=2` would be ignored."""
    if (name := stray_parameter(scope["query_string"])) is not None:
        said = f"unknown parameter {quoted(name)}: all is said in the body"
        raise Refusal(422, [{"loc": ["query", name], "msg": said, "type": "extra_forbidden"}])


def _result(answer: Answer, label: str, score: float, revision: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "label": label,
        "confidence": score,
        "score": score,
        "needs_human": False,
        "revision": revision,
        "tokens": answer.tokens,
    }
    if answer.cut:
        result["cut_tokens"] = answer.cut
    return result


def _reply(results: list[dict[str, Any]], question: Question) -> bytes:
    return encoded(results[0] if question.single else {"results": results})


async def _send(send: Send, trace: _Trace, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    known = [(b"content-length", str(len(body)).encode()), (b"x-request-id", trace.request_id.encode())]
    headers = [_JSON, *known, *extra]
    await send({"type": "http.response.start", "status": trace.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
