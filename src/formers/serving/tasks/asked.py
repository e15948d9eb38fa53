"""What a request asks of a task: its body, in JSON, as a file or as a form, read within the limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formers.core.notices import did_you_mean
from formers.pipelines.frame import Pipeline
from formers.serving.limits import LONGEST_KEY, Faults, Refusal, quoted, read_object
from formers.serving.settings import Settings
from formers.serving.tasks.table import BOUNDS, GENERATE, NESTED, TOKENS, Form, Row, is_media
from formers.serving.tasks.values import Values

_VALUES = 1 << 14  # of a body: a table has many
_PARTS = 32  # of a form
_HEAD = 4096  # bytes of the head of such a part


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
        holder = pipe.feature_extractor or getattr(pipe.processor, "feature_extractor", None)
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
        values = Values(self.settings, self.rate)
        asks = [
            self._ask(one, "inputs" if place is None else f"inputs[{place}]", parameters, values)
            for place, one in each
        ]
        return Asked(asks, not many)

    def of_file(self, raw: bytes) -> Asked:
        """A picture or a sound, which is the whole body."""
        if not raw:
            raise Refusal(422, "the body is empty")
        values = Values(self.settings, self.rate)
        return Asked([self._ask(raw, "the body", self._parameters({}), values)], True)

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
            if kind is None or not is_media(kind) or kind == "chat":
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
        if given is None:
            return beside
        objects = [form for form in self.row.forms if not isinstance(form.takes, str)]
        form = next((one for one in objects if {*beside} <= {*one.fields}), objects[0])
        return {next(iter(form.fields)): given, **beside}

    def _ask(self, given: Any, place: str, parameters: dict[str, Any], values: Values) -> Ask:
        form = self._form(given, place)
        own = dict(parameters)
        if isinstance(form.takes, str):
            value, cost = values.of(form.takes, given, place)
        else:
            if "word_boxes" in form.fields and "word_boxes" in own:
                given = {**given, "word_boxes": own.pop("word_boxes")}
            value, cost = {}, 0
            for name, one in given.items():
                if name in form.optional and one in (None, []):
                    continue
                value[name], more = values.of(form.takes[name], one, f"{place}.{name}")
                cost += more
        cost *= max(1, len(_labels(own.get("candidate_labels"))))
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
        form = next((one for one in objects if {*given} & {*one.fields}), objects[0])
        check_known(given, tuple(form.fields), f"key in {place}:")
        lost = [name for name in form.fields if name not in given and name not in form.optional]
        if lost:
            raise Refusal(422, f"{place} has no {lost[0]}")
        return form

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
        self._bound(name, value)

    def _bound(self, name: str, value: Any) -> None:
        """Refuse a value that holds too much."""
        if name == "word_boxes":
            return  # a value of its own kind
        values = Values(self.settings, self.rate)
        each = value if isinstance(value, list) else [value]
        most = self.settings.max_texts
        count = len(_labels(value)) if name == "candidate_labels" else len(each)
        if count > most:
            raise Refusal(413, f"{name} has {count} values; at most {most} are taken")
        for one in each:
            if isinstance(one, (list, dict)):
                raise Refusal(422, f"{name} must be a value, or a list of values, and holds {_kind(one)}")
            if isinstance(one, str):
                values.check_text(one, name)
        if name == "hypothesis_template" and (
            not isinstance(value, str) or value.count("{") != 1 or "{}" not in value
        ):
            raise Refusal(422, f"{name} must be a text that holds {{}}, the place of the label, once")


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(said).split()) or type(error).__name__


def _labels(given: Any) -> list[Any]:
    """Labels as a list, or as text with commas between them."""
    if isinstance(given, str):
        return given.split(",")
    return given if isinstance(given, list) else []


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "an object"


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
