"""What a request may be, checked in one order: key, type, size, time, then what it says; and its refusals.

What it says is read by hand: several times faster than pydantic, and what was found is told in plain words.
Whatever a client sends, the work is linear in its size, and the answer quotes ten faults at most.
"""

from __future__ import annotations

import asyncio
import json
import reprlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from anyio import to_thread
from pydantic import BaseModel, ValidationError

from formers.core.notices import did_you_mean
from formers.serving.settings import Settings

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

MOST_FAULTS = 10
SPARE_VALUES = 100  # values, lists and objects of a body beside its texts: more than any request needs
LONGEST_NUMBER = 100  # characters
LONGEST_KEY = 100  # characters of an unknown key that are quoted
PIECE = 128 * 1024  # characters of a body that are looked at in one go
LARGE = 64 * 1024  # bytes: a larger body waits its turn, and is read beside the event loop
BYTES_PER_SECOND = 8 * 1024 * 1024  # that all large bodies together come in with, and long pages go out
PAGE, REFUSED = 128 * 1024, 64 * 1024  # what a page and a refusal cost the event loop, in such bytes
_AHEAD, _BEHIND = 0.25, 10.0  # seconds of them that need not wait, and that are remembered at most
_TEXTS = {"text": "a string", "texts": "a list of strings", "inputs": "a string or a list of strings"}
_OPTIONS = ("top_k", "all_scores", "return_all_scores")
_KEYS = (*_TEXTS, *_OPTIONS, "parameters")
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_DRAIN_SECONDS = 2.0
_short = reprlib.Repr()
_short.maxstring = LONGEST_KEY
quoted = _short.repr  # what a client sent, for an answer: never longer than so


class Pace:
    """Shares the event loop out: whatever costs more than an ordinary answer takes turns.

    Costs are counted in bytes that are read. Short bursts do not wait.
    """

    def __init__(self) -> None:
        self._free = 0.0

    def charge(self, cost: int) -> float:
        """Take a turn of `cost` bytes; the seconds until it has come."""
        now = time.monotonic()
        self._free = min(max(self._free, now - _AHEAD) + cost / BYTES_PER_SECOND, now + _BEHIND)
        return max(0.0, self._free - now)

    async def turn(self, cost: int, most: float = 0.5) -> None:
        """Wait for a turn of `cost` bytes, for `most` seconds at most: nobody may keep others out."""
        if (wait := self.charge(cost)) > 0.001:
            await asyncio.sleep(min(wait, most))


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

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the answer."""
        found = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


class Gone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], settings: Settings, most: int | None = None
) -> bytes:
    """Read the whole body, within the limits of size (`most` in place of the settings') and time.

    Raises:
        Refusal: 413 for a body above `max_body_bytes`, announced or streamed; 400 for a bad Content-Length;
            408 when it does not arrive within `body_timeout`.
        Gone: the client hung up.
    """
    most = settings.max_body_bytes if most is None else most
    announced = headers.get(b"content-length", b"0")
    with Within(settings.body_timeout, Refusal(408, "the body did not arrive in time")):
        if not announced.isdigit() or len(announced) > 20:
            said = quoted(announced.decode("latin-1"))
            raise Refusal(400, f"Content-Length must be a number of bytes, but is {said}")
        if int(announced) > most:
            await _drain(receive)
            raise Refusal(413, f"the body has {int(announced)} bytes; at most {most} are taken")
        body, more = bytearray(), True
        while more and len(body) <= most:
            part, more = await _part(receive)
            body += part
        if len(body) > most:
            if more:
                await _drain(receive)
            raise Refusal(413, f"the body is larger than the {most} bytes that are taken")
    return bytes(body)


async def _part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), bool(message.get("more_body", False))


async def _drain(receive: Receive) -> None:
    """Throw the rest of a refused body away, so that the client reads the refusal and not a reset."""
    more = True
    enough = Refusal(413, "the body is too large")
    try:
        with Within(_DRAIN_SECONDS, enough):
            while more:
                _, more = await _part(receive)
    except Refusal as refusal:
        if refusal is not enough:
            raise


class Within:
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


def check_type(headers: Mapping[bytes, bytes]) -> None:
    """Take JSON only, as it is: a web page of another origin can send other types without asking first.

    Raises:
        Refusal: 415.
    """
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        found = quoted(kind.decode("latin-1")) if kind else "none"
        raise Refusal(415, f"the Content-Type must be application/json, but is {found}")
    if (packed := headers.get(b"content-encoding", b"identity").strip().lower()) != b"identity":
        said = quoted(packed.decode("latin-1"))
        raise Refusal(415, f"the body must be sent as it is, without Content-Encoding, but this is {said}")


def stray_parameter(query: bytes) -> str | None:
    """The first name in the query of a path that takes none, where it would be ignored; None for no query."""
    if not query:
        return None
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return pairs[0][0][:LONGEST_KEY] if pairs else ""


@dataclass(frozen=True, slots=True)
class Question:
    """A checked request: texts, whether it was a single one, how many scores it wants (0: none, -1: all)."""

    texts: list[str]
    single: bool
    top_k: int


class Faults(list[dict[str, Any]]):
    """What is wrong with a body."""

    def add(self, kind: str, message: str, *place: str | int) -> None:
        """Note a fault and its place; the last of many refuses the body."""
        self.append({"loc": ["body", *place], "msg": message, "type": kind})
        if len(self) == MOST_FAULTS:
            self.refuse()

    def expected(self, wanted: str, found: object, *place: str | int, kind: str = "type_error") -> None:
        """Note a value of another kind than wanted."""
        self.add(kind, f"expected {wanted}, got {_KINDS.get(type(found), 'a number')}", *place)

    def unknown(self, given: Mapping[str, Any], known: Collection[str], what: str, *place: str) -> None:
        """Note the keys that are not known."""
        for key in given:
            if key not in known:
                near = did_you_mean(key, known) if len(key) <= LONGEST_KEY else ""
                self.add("extra_forbidden", f"unknown {what}{near}", *place, key[:LONGEST_KEY])

    def refuse(self) -> None:
        """Refuse the body if anything was noted.

        Raises:
            Refusal: 422 with the faults.
        """
        if self:
            raise Refusal(422, list(self))


async def understood(body: bytes, reader: Callable[[bytes], T], aside: bool = False) -> T:
    """What `reader` says of a body, asked beside the event loop where the body is large, or `aside`."""
    return await to_thread.run_sync(reader, body) if aside or len(body) > LARGE else reader(body)


def parse(body: bytes, settings: Settings) -> Question:
    """Check the body of `/classify` and return what it asks.

    Raises:
        Refusal: 422 with the first faults and their places, 413 for texts that are too long or too many.
    """
    faults = Faults()
    data = read_object(body, faults, settings.max_texts + SPARE_VALUES)
    faults.unknown(data, _KEYS, "key")
    given = [key for key in _TEXTS if key in data]
    if len(given) != 1:
        said = "none of them is there" if not given else f"found {' and '.join(given)}"
        message = f'give one of "text" (a string), "texts" (a list of strings) or "inputs" (either); {said}'
        faults.add("missing" if not given else "value_error", message)
    top_k = _top_k(data, faults)
    key = given[0] if given else ""
    found: Any = data.get(key)
    single = isinstance(found, str) and key != "texts"
    if given and not single and not (isinstance(found, list) and key != "text"):
        faults.expected(_TEXTS[key], found, key)
    faults.refuse()
    texts: list[Any] = [found] if single else found
    _check_texts(texts, key, single, settings, faults)
    return Question(texts, single, top_k)


def parsed(body: bytes, model: type[M]) -> M:
    """A body as a `model`.

    Raises:
        Refusal: 422 with the first faults and their places.
    """
    faults = Faults()
    data = read_object(body, faults)
    faults.unknown(data, model.model_fields, "key")
    faults.refuse()
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            faults.add(fault["type"], fault["msg"], *fault["loc"])
        raise Refusal(422, list(faults)) from None


def read_object(
    body: bytes, faults: Faults, values: int = SPARE_VALUES, nests: int = SPARE_VALUES
) -> dict[str, Any]:
    """The JSON object that a body is.

    Args:
        body: the body.
        faults: where it is noted that it is none.
        values: how many values it may hold.
        nests: how many lists and objects.

    Raises:
        Refusal: 413 for more, 422 for what is no object.
    """
    data: Any = {}
    try:
        text = body.decode("utf-8-sig")
        _bound(text, values, nests)
        data = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        faults.add("json_invalid", f"the body is not JSON: {error}")
    if not isinstance(data, dict):
        faults.expected('an object like {"text": "..."}', data, kind="object_type")
    faults.refuse()
    return data  # type: ignore[no-any-return]


def _bound(text: str, most: int, nests: int) -> None:
    """Refuse (413) JSON of more values than any request needs, before they are made; linear, and quick."""
    if text.count(",") < most and text.count("[") + text.count("{") <= nests:  # within texts or not
        return
    quotes = commas = nested = at = 0
    while at < len(text):  # in pieces: whoever looks at all of it at once keeps the event loop waiting
        piece = text[at : at + PIECE]
        if (len(piece) - len(piece.rstrip("\\"))) % 2:  # what the last backslash escapes comes next
            piece = text[at : at + PIECE + 1]
        at += len(piece)
        parts = piece.replace("\\\\", "").replace('\\"', "").split('"')  # each begins or ends a string
        outside = "".join(parts[quotes % 2 :: 2])
        quotes += len(parts) - 1
        commas += outside.count(",")
        nested += outside.count("[") + outside.count("{")
        if quotes >= 4 * most or commas >= most:
            raise Refusal(413, f"the body holds more than {most} values")
        if nested > nests:
            raise Refusal(413, f"the body holds more than {nests} lists and objects")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {quoted(twice)} stands there twice")
    return found


def _short_enough(digits: str) -> str:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has more than {LONGEST_NUMBER} characters")
    return digits


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


_JSON = json.JSONDecoder(
    object_pairs_hook=_each_once,
    parse_int=lambda digits: int(_short_enough(digits)),
    parse_float=lambda digits: float(_short_enough(digits)),
    parse_constant=_no_number,
)


def _top_k(data: dict[str, Any], faults: Faults) -> int:
    """How many scores an answer lists: 0 when none were asked for, -1 for all."""
    parameters = data.get("parameters")
    if parameters is None:
        parameters = {}
    elif not isinstance(parameters, dict):
        faults.expected("an object", parameters, "parameters")
        parameters = {}
    faults.unknown(parameters, _OPTIONS, "parameter", "parameters")
    options = {key: part[key] for part in (data, parameters) for key in _OPTIONS if key in part}
    for key in _OPTIONS[1:]:
        if not isinstance(options.get(key, False), bool):
            faults.expected("true or false", options[key], key, kind="bool_type")
    top_k = options.get("top_k", 0)
    if top_k is None or options.get("all_scores") is True or options.get("return_all_scores") is True:
        return -1
    if "top_k" in options and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        faults.add("int_type", "expected a whole number above 0, or null for all", "top_k")
        return 0
    return int(top_k)


def _check_texts(texts: list[Any], key: str, single: bool, settings: Settings, faults: Faults) -> None:
    if not texts:
        faults.add("too_short", "the list is empty: give at least one text", key)
    if len(texts) > settings.max_texts:
        raise Refusal(413, f"{len(texts)} texts in one request; at most {settings.max_texts} are taken")
    for index, text in enumerate(texts):
        where: tuple[str | int, ...] = (key,) if single else (key, index)
        if not isinstance(text, str):
            faults.expected("a string", text, *where, kind="string_type")
        elif len(text) > settings.max_chars:
            which = "the text" if single else f"text {index}"
            raise Refusal(413, f"{which} has {len(text)} characters; at most {settings.max_chars} are taken")
        elif not text or text.isspace():
            faults.add("string_too_short", "the text is empty", *where)
        elif not is_unicode(text):
            faults.add("string_unicode", "the text holds half of a surrogate pair", *where)
    faults.refuse()


def is_unicode(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
