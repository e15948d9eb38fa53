"""What a request may be: the checks that come before any tokenizing, and the words of each refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from formers.core.notices import did_you_mean
from formers.serving.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_TEXT_KEYS = ("text", "texts", "inputs")
_OPTIONS = ("top_k", "all_scores", "return_all_scores")
_KEYS = (*_TEXT_KEYS, *_OPTIONS, "parameters")
_DRAIN_BYTES = 64 * 1024 * 1024
_DRAIN_SECONDS = 2.0


class Refusal(Exception):
    """A request that is answered with an error status.

    Attributes:
        status: the HTTP status.
        detail: for 422 the list of faults that FastAPI documents, else a sentence.
        retry_after: seconds, for 503.
    """

    def __init__(
        self, status: int, detail: str | list[dict[str, Any]], retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class Gone(Exception):
    """The client closed the connection before its request was whole."""


@dataclass(frozen=True, slots=True)
class Question:
    """A checked request: texts, whether it was a single one, and how many scores are wanted (0: none)."""

    texts: list[str]
    single: bool
    top_k: int


async def read_body(receive: Receive, headers: dict[bytes, bytes], settings: Settings) -> bytes:
    """Read the whole body, within the limits of size and time.

    Raises:
        Refusal: 413 for a body above `max_body_bytes`, announced or streamed; 400 for a bad Content-Length;
            408 when it does not arrive within `body_timeout`.
        Gone: the client hung up.
    """
    most = settings.max_body_bytes
    announced = headers.get(b"content-length")
    with _Within(settings.body_timeout, Refusal(408, "the body did not arrive in time")):
        if announced is not None:
            if not announced.isdigit():
                raise Refusal(400, f"Content-Length must be a number, but is {announced.decode('latin-1')!r}")
            if int(announced) > most:
                await _drain(receive)
                raise Refusal(413, f"the body has {int(announced)} bytes; at most {most} are taken")
        body, more = await _part(receive)
        while more and len(body) <= most:
            part, more = await _part(receive)
            body += part
        if len(body) > most:
            if more:
                await _drain(receive)
            raise Refusal(413, f"the body is larger than the {most} bytes that are taken")
    return body


async def _part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), bool(message.get("more_body", False))


async def _drain(receive: Receive) -> None:
    """Throw the rest of a refused body away, so that the client reads the refusal and not a reset."""
    read, more = 0, True
    enough = Refusal(413, "the body is too large")
    try:
        with _Within(_DRAIN_SECONDS, enough):
            while more and read < _DRAIN_BYTES:
                part, more = await _part(receive)
                read += len(part)
    except Refusal as refusal:
        if refusal is not enough:
            raise


class _Within:
    """Cancel the block after `seconds` and raise `instead` (`asyncio.timeout` is not in Python 3.10)."""

    def __init__(self, seconds: float, instead: Exception) -> None:
        self._seconds = seconds
        self._instead = instead
        self._fired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a running task")
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def _fire(self) -> None:
        self._fired = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._fired and kind is not None and issubclass(kind, asyncio.CancelledError):
            if uncancel := getattr(self._task, "uncancel", None):  # Python 3.11 on
                uncancel()
            raise self._instead from None


def parse(body: bytes, settings: Settings) -> Question:
    """Check a body and return what it asks.

    Raises:
        Refusal: 422 with each fault and its place, 413 for texts that are too long or too many.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(422, [_fault(["body"], "json_invalid", f"the body is not JSON: {error}")]) from None
    if not isinstance(data, dict):
        raise Refusal(
            422,
            [
                _fault(
                    ["body"], "object_type", f'expected an object like {{"text": "..."}}, got {_kind(data)}'
                )
            ],
        )
    faults = [
        _fault(["body", key], "extra_forbidden", f"unknown key{did_you_mean(key, _KEYS)}")
        for key in data
        if key not in _KEYS
    ]
    texts, single, place = _texts(data, faults)
    top_k = _top_k(data, faults)
    if not faults:
        _check_texts(texts, place, single, settings, faults)
    if faults:
        raise Refusal(422, faults)
    return Question(texts, single, top_k)


def _texts(data: dict[str, Any], faults: list[dict[str, Any]]) -> tuple[list[str], bool, str]:
    given = [key for key in _TEXT_KEYS if key in data]
    if len(given) != 1:
        said = "none of them is there" if not given else f"found {' and '.join(given)}"
        message = f'give one of "text" (a string), "texts" (a list of strings) or "inputs" (either); {said}'
        faults.append(_fault(["body"], "missing" if not given else "value_error", message))
        return [], False, ""
    key = given[0]
    value = data[key]
    if isinstance(value, str) and key != "texts":
        return [value], True, key
    if isinstance(value, list) and key != "text":
        return value, False, key
    wanted = {"text": "a string", "texts": "a list of strings", "inputs": "a string or a list of strings"}[
        key
    ]
    faults.append(_fault(["body", key], "type_error", f"expected {wanted}, got {_kind(value)}"))
    return [], False, key


def _check_texts(
    texts: list[Any], place: str, single: bool, settings: Settings, faults: list[dict[str, Any]]
) -> None:
    if not texts:
        faults.append(_fault(["body", place], "too_short", "the list is empty: give at least one text"))
    if len(texts) > settings.max_texts:
        raise Refusal(413, f"{len(texts)} texts in one request; at most {settings.max_texts} are taken")
    for index, text in enumerate(texts):
        where: list[str | int] = ["body", place] if single else ["body", place, index]
        if not isinstance(text, str):
            faults.append(_fault(where, "string_type", f"expected a string, got {_kind(text)}"))
        elif len(text) > settings.max_chars:
            which = "the text" if single else f"text {index}"
            raise Refusal(413, f"{which} has {len(text)} characters; at most {settings.max_chars} are taken")
        elif not text or text.isspace():
            faults.append(_fault(where, "string_too_short", "the text is empty"))
        elif not _is_unicode(text):
            faults.append(_fault(where, "string_unicode", "the text holds half of a surrogate pair"))


def _top_k(data: dict[str, Any], faults: list[dict[str, Any]]) -> int:
    """How many scores an answer lists: 0 when none were asked for, -1 for all."""
    options = {key: data[key] for key in _OPTIONS if key in data}
    parameters = data.get("parameters")
    if isinstance(parameters, dict):
        for key, value in parameters.items():
            if key in _OPTIONS:
                options[key] = value
            else:
                message = f"unknown parameter{did_you_mean(key, _OPTIONS)}"
                faults.append(_fault(["body", "parameters", key], "extra_forbidden", message))
    elif parameters is not None:
        message = f"expected an object, got {_kind(parameters)}"
        faults.append(_fault(["body", "parameters"], "type_error", message))
    for key in ("all_scores", "return_all_scores"):
        if not isinstance(options.get(key, False), bool):
            message = f"expected true or false, got {_kind(options[key])}"
            faults.append(_fault(["body", key], "bool_type", message))
    if options.get("all_scores") is True or options.get("return_all_scores") is True:
        return -1
    if "top_k" not in options:
        return 0
    top_k = options["top_k"]
    if top_k is None:
        return -1
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        faults.append(
            _fault(["body", "top_k"], "int_type", "expected a whole number above 0, or null for all")
        )
        return 0
    return top_k


def _fault(where: list[str | int] | list[str], kind: str, message: str) -> dict[str, Any]:
    return {"loc": list(where), "msg": message, "type": kind}


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
