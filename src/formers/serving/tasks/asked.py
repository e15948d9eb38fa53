"""What a request asks of a task: its body, in JSON, as a file or as a form, read within the limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formers.core.notices import did_you_mean
from formers.pipelines.frame import Pipeline
from formers.serving.limits import LONGEST_KEY, Faults, Refusal, is_unicode, quoted, read_object
from formers.serving.settings import Settings
from formers.serving.tasks.media import packed, picture, sound
from formers.serving.tasks.table import BOUNDS, GENERATE, NESTED, TOKENS, Form, Row

_VALUES = 1 << 14  # of a body: a table has many
_PARTS = 32  # of a form
_HEAD = 4096  # bytes of the head of such a part
_PIXELS, _SECOND = 1024, 50  # pixels of one "token", and tokens of a second: what is held costs as much


@dataclass(frozen=True, slots=True)
class Ask:
    """One input, as the engine holds it.

    Attributes:
        form: the way in which it was asked.
        parts: what the pipeline is given for it.
        parameters: keywords of the pipeline.
        alike: the same for all that may be answered together.
        length: what it costs, about what a token does.
    """

    form: Form
    parts: list[Any]
    parameters: Mapping[str, Any]
    alike: str
    length: int

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request: its inputs, and whether it was a single one."""

    asks: list[Ask]
    single: bool


class Reader:
    """Reads requests for one task.

    Args:
        row: the task.
        pipe: whose keywords the parameters are.
        settings: limits.
    """

    def __init__(self, row: Row, pipe: Pipeline, settings: Settings) -> None:
        self.row, self.pipe, self.settings = row, pipe, settings
        holder = pipe.feature_extractor
        self.rate = int(getattr(holder, "sampling_rate", 16000))

    # --- bodies ------------------------------------------------------------------------------------

    def of_json(self, raw: bytes) -> Asked:
        """`{"inputs": ..., "parameters": {...}}`.

        Raises:
            Refusal: 413 for too much, 422 for what is not understood.
        """
        body = read_object(raw, Faults(), _VALUES, _VALUES)
        return self.of_object(body)

    def of_object(self, body: Mapping[str, Any]) -> Asked:
        """The same, once it is read."""
        beside = {name for form in self.row.forms for name in form.fields if name}
        check_known(body, ("inputs", "parameters", *beside, *self.row.stray), "key")
        stray = {name: body[name] for name in self.row.stray if name in body}
        inputs = self._inputs({name: value for name, value in body.items() if name not in stray})
        told = body.get("parameters")
        if not isinstance(told, dict | None):
            raise Refusal(422, "parameters must be an object")
        parameters = self._parameters({**(told or {}), **stray})
        many = isinstance(inputs, list)
        if many and not self.row.forms[0].several:
            raise Refusal(422, "inputs must be one input: the answer is a file")
        if many and not inputs:
            raise Refusal(422, "inputs is an empty list")
        if many and len(inputs) > self.settings.max_texts:
            raise Refusal(
                413, f"{len(inputs)} inputs in one request; at most {self.settings.max_texts} are taken"
            )
        each = enumerate(inputs) if many else [(None, inputs)]
        asks = [
            self._ask(one, "inputs" if place is None else f"inputs[{place}]", parameters)
            for place, one in each
        ]
        return Asked(asks, not many)

    def of_file(self, raw: bytes) -> Asked:
        """A picture or a sound, which is the whole body."""
        if not raw:
            raise Refusal(422, "the body is empty")
        return Asked([self._ask(raw, "the body", self._parameters({}))], True)

    def of_form(self, raw: bytes, boundary: bytes) -> Asked:
        """A form (multipart/form-data): `inputs` (or `file`), fields beside it, and `parameters` as JSON."""
        body: dict[str, Any] = {}
        for name, value in _parts(raw, boundary):
            name = "inputs" if name in ("file", "files") else name
            if name in body:
                raise Refusal(422, f"the form says {quoted(name)} twice")
            body[name] = value
        takes = {name: kind for form in self.row.forms for name, kind in form.fields.items()}
        for name, value in body.items():
            kind = takes.get("" if name == "inputs" and "" in takes else name)
            kind = next(iter(takes.values())) if kind is None and name == "inputs" else kind
            if kind not in ("picture", "sound"):
                body[name] = _of_field(value, name, kind == "text")
        return self.of_object(body)

    # --- what it says ----------------------------------------------------------------------------------

    def _inputs(self, body: Mapping[str, Any]) -> Any:
        """`inputs`, with the fields that stand beside it."""
        beside = {name: value for name, value in body.items() if name not in ("inputs", "parameters")}
        if "inputs" not in body and not beside:
            raise Refusal(422, "inputs is missing")
        given = body.get("inputs")
        if not beside:
            return given
        if isinstance(given, dict):
            return {**given, **beside}
        first = next(iter(self.row.forms[-1].fields))
        return beside if given is None else {first: given, **beside}

    def _ask(self, given: Any, place: str, parameters: dict[str, Any]) -> Ask:
        form = self._form(given, place)
        own = dict(parameters)
        if isinstance(form.takes, str):
            value, cost = self._value(form.takes, given, place)
        else:
            if "word_boxes" in form.fields and "word_boxes" in own:
                given = {**given, "word_boxes": own.pop("word_boxes")}
            value, cost = {}, 0
            for name, one in given.items():
                value[name], more = self._value(form.takes[name], one, f"{place}.{name}")
                cost += more
        labels = own.get("candidate_labels")
        cost *= max(1, len(labels)) if isinstance(labels, list) else 1
        parts = [value] if form.parts is None else form.parts(value)
        alike = json.dumps([form.several, own], sort_keys=True, default=repr)
        return Ask(form, parts, own, alike, max(1, cost))

    def _form(self, given: Any, place: str) -> Form:
        """The way in which an input is asked."""
        forms = self.row.forms
        if not isinstance(given, dict):
            found = next((form for form in forms if isinstance(form.takes, str)), None)
            if found is not None:
                return found
            wanted = ", ".join(forms[0].fields)
            raise Refusal(422, f"{place} must be an object with {wanted}")
        objects = [form for form in forms if not isinstance(form.takes, str)]
        if not objects:
            raise Refusal(422, f"{place} must be a {forms[0].takes}, not an object")
        form = objects[0]
        check_known(given, tuple(form.fields), f"key in {place}:")
        lost = [name for name in form.fields if name not in given and name not in form.optional]
        if lost:
            raise Refusal(422, f"{place} has no {lost[0]}")
        return form

    def _value(self, kind: str, given: Any, place: str) -> tuple[Any, int]:
        """A value of a kind as the pipeline takes it, and what it costs."""
        limits = self.settings
        if kind == "picture":
            found = picture(packed(given, place), place, limits.max_pixels)
            return found, max(64, found.width * found.height // _PIXELS)
        if kind == "sound":
            wave = sound(packed(given, place), place, self.rate, limits.max_seconds)
            return wave, max(16, len(wave) * _SECOND // self.rate)
        if kind == "texts":
            if not isinstance(given, list) or not given:
                raise Refusal(422, f"{place} must be a list of texts")
            if len(given) > limits.max_texts:
                raise Refusal(413, f"{place} has {len(given)} texts; at most {limits.max_texts} are taken")
            for number, one in enumerate(given):
                self._text(one, f"{place}[{number}]")
            return given, sum(map(_cost, given))
        if kind == "text":
            self._text(given, place)
            return given, _cost(given)
        if kind == "table":
            return given, self._table(given, place)
        return self._boxes(given, place), 16

    def _text(self, given: Any, place: str) -> None:
        if not isinstance(given, str):
            raise Refusal(422, f"{place} must be a string")
        if len(given) > self.settings.max_chars:
            most = self.settings.max_chars
            raise Refusal(413, f"{place} has {len(given)} characters; at most {most} are taken")
        if not given or given.isspace():
            raise Refusal(422, f"{place} is empty")
        if not is_unicode(given):
            raise Refusal(422, f"{place} holds half of a surrogate pair")

    def _table(self, given: Any, place: str) -> int:
        """Check a table: texts by columns."""
        if not isinstance(given, dict) or not given:
            raise Refusal(422, f"{place} must be an object of columns, each a list of texts")
        cells = 0
        for name, column in given.items():
            if not isinstance(column, list) or not all(isinstance(one, str) for one in column):
                raise Refusal(422, f"the column {quoted(name)} of {place} must be a list of texts")
            if not is_unicode(name) or not all(map(is_unicode, column)):
                raise Refusal(422, f"the column {quoted(name)} of {place} holds half of a surrogate pair")
            cells += len(name) + sum(map(len, column))
        if cells > self.settings.max_chars:
            raise Refusal(413, f"{place} has {cells} characters; at most {self.settings.max_chars} are taken")
        return cells // 3 + 8

    def _boxes(self, given: Any, place: str) -> list[Any]:
        """Check words with their boxes, `[word, [x0, y0, x1, y1]]` each."""
        found = []
        for one in given if isinstance(given, list) else [None]:
            word, box = one if isinstance(one, list) and len(one) == 2 else (None, None)
            numbers = isinstance(box, list) and len(box) == 4 and all(type(n) in (int, float) for n in box)
            if not isinstance(word, str) or not numbers:
                raise Refusal(422, f"{place} must be a list of [word, [x0, y0, x1, y1]]")
            found.append((word, box))
        return found

    # --- parameters --------------------------------------------------------------------------------------

    def _parameters(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """The keywords of the pipeline that parameters are.

        Raises:
            Refusal: 422 for one that is unknown, missing or out of range, by its name.
        """
        row = self.row
        told = {name: value for name, value in told.items() if value is not None}
        check_known(told, row.known, "parameter")
        settings: dict[str, Any] = {}
        for name in NESTED:
            nested = told.pop(name, {})
            if not isinstance(nested, dict):
                raise Refusal(422, f"{name} must be an object")
            check_known(nested, GENERATE, f"parameter in {name}:")
            settings |= nested
        for name in [name for name in told if name not in row.parameters]:
            settings[name] = told.pop(name)
        for name, value in {**settings, **told}.items():
            self._check(name, value)
        lost = [name for name in row.needed if not told.get(name)]
        if lost:
            raise Refusal(422, f"the parameter {lost[0]} is missing")
        found = {**row.defaults, **told}
        found = {row.renamed.get(name, name): value for name, value in found.items()}
        if settings and row.settings:
            found[row.settings] = settings
        elif settings:
            found |= settings
        try:
            self.pipe.check_call(**{name: value for name, value in found.items() if name != "word_boxes"})
        except (ValueError, TypeError, KeyError) as error:
            raise Refusal(422, one_line(error)) from None
        return found

    def _check(self, name: str, value: Any) -> None:
        """Refuse what is out of range, or too long."""
        if name in TOKENS or name in BOUNDS:
            low, high = BOUNDS.get(name, (0, self.settings.max_new_tokens))
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise Refusal(422, f"{name} must be a number from {low:g} to {high:g}, not {quoted(value)}")
        elif name in GENERATE and name != "early_stopping" and not isinstance(value, (bool, int, float)):
            raise Refusal(422, f"{name} must be a number, or true or false, not {quoted(value)}")
        strings = value if isinstance(value, list) else [value]
        if len(strings) > self.settings.max_texts:
            raise Refusal(
                413, f"{name} has {len(strings)} values; at most {self.settings.max_texts} are taken"
            )
        for one in strings:
            if isinstance(one, str):
                self._text(one, name)


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(said).split()) or type(error).__name__


def _cost(text: str) -> int:
    return len(text) // 3 + 8


def check_known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Refuse what is not known, by its name.

    Raises:
        Refusal: 422.
    """
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) if len(name) <= LONGEST_KEY else ""
            takes = f"; there are {', '.join(known)}" if known else "; this task takes none"
            raise Refusal(422, f"unknown {what} {quoted(name)}{near or takes}")


def _parts(raw: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """The fields of a form, by name (RFC 7578); linear in the body."""
    from email.parser import BytesHeaderParser

    pieces = (b"\r\n" + raw).split(b"\r\n--" + boundary, _PARTS + 2)
    if len(pieces) < 3 or len(pieces) > _PARTS + 2 or not pieces[-1].startswith(b"--"):
        raise Refusal(422, f"the body is no form of 1 to {_PARTS} fields between its boundaries")
    found = []
    for piece in pieces[1:-1]:
        head, gap, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not gap or len(head) > _HEAD:
            raise Refusal(422, "a field of the form has no head, or one that is too large")
        name = (
            BytesHeaderParser().parsebytes(head + b"\r\n\r\n").get_param("name", header="content-disposition")
        )
        if not isinstance(name, str) or not name:
            raise Refusal(422, "a field of the form has no name")
        found.append((name, value))
    return found


def _of_field(value: bytes, name: str, text: bool) -> Any:
    """A field of a form: a text as it is, anything else as JSON."""
    try:
        said = value.decode()
    except UnicodeDecodeError:
        raise Refusal(422, f"the field {quoted(name)} of the form is not UTF-8") from None
    return said if text else read_object(b'{"value":%b}' % value, Faults(), _VALUES, _VALUES)["value"]
