"""The values of a request's fields, each read with an error that names the field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from formers.core.notices import did_you_mean
from formers.serving.limits import LONGEST_KEY, Faults, Refusal, is_unicode, quoted, read_object

Body = Mapping[str, Any]
_KINDS = {401: "authentication_error", 404: "not_found_error"}


class BadField(Refusal):
    """A request that is answered with 400, or another status; `param` names the field at fault."""

    def __init__(self, param: str | None, message: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(status, message)
        self.param, self.code = param, code


def error_of(refusal: Refusal) -> dict[str, Any]:
    """An error in the API's form."""
    param, code = (refusal.param, refusal.code) if isinstance(refusal, BadField) else (None, None)
    kind = "server_error" if refusal.status >= 500 else _KINDS.get(refusal.status, "invalid_request_error")
    return {"error": {"message": refusal.detail, "type": kind, "param": param, "code": code}}


def check_name(given: Any, served: str) -> None:
    """Refuse another model's name.

    Raises:
        BadField: 404, or 400 for what is no name.
    """
    if not isinstance(given, str):
        raise BadField("model", f"model names what answers: {quoted(served)}")
    if given != served:
        said = f"there is no model {quoted(given)} here: {quoted(served)} is served"
        raise BadField("model", said, "model_not_found", 404)


def record(body: Body, name: str) -> Body:
    """An object; an empty one where it is not given.

    Raises:
        BadField: it is something else.
    """
    value = body.get(name)
    if not isinstance(value, dict | None):
        raise BadField(name, f"{name} is an object, not {quoted(value)}")
    return value or {}


def body_of(
    raw: bytes, known: Collection[str], unsupported: Mapping[str, tuple[Any, ...]], served: str,
    most: int, nests: int,
) -> Body:  # fmt: skip
    """The object that a body is, for the model `served`.

    Args:
        raw: the body.
        known: names of its fields.
        unsupported: see `check_known`.
        served: the model's name.
        most: values that it may hold.
        nests: lists and objects.

    Raises:
        Refusal: it is none, asks for what is not done here, or for another model.
    """
    try:
        body = read_object(raw, Faults(), most, nests)
    except Refusal as refusal:
        if not isinstance(refusal.detail, list):
            raise
        raise BadField(None, refusal.detail[0]["msg"]) from None
    check_known(body, known, unsupported)
    check_name(body.get("model"), served)
    if not isinstance(body.get("user"), str | None):
        raise BadField("user", "user is a string")
    return body


def texts_or_ids(given: Any, name: str) -> list[Any]:
    """Strings and lists of token ids out of what the field `name` may be: one, or several of a kind.

    Raises:
        BadField: it is something else.
    """
    if isinstance(given, str) or _are_ids(given):
        return [given]
    many = given if isinstance(given, list) else []
    if many and (all(isinstance(one, str) for one in many) or all(map(_are_ids, many))):
        return many
    said = "is a string, a list of strings, a list of token ids, or several such lists"
    raise BadField(name, f"{name} {said}")


def _are_ids(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int for one in given)


def number(body: Body, name: str, low: float, high: float) -> float | None:
    """A number from `low` to `high`; None where it is not given.

    Raises:
        BadField: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadField(name, f"{name} is a number from {low:g} to {high:g}, not {quoted(value)}")
    return float(value)


def whole(body: Body, name: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`; None where it is not given.

    Raises:
        BadField: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadField(name, f"{name} is a whole number from {low} to {high}, not {quoted(value)}")
    return value


def flag(body: Body, name: str) -> bool:
    """True or false; false where it is not given.

    Raises:
        BadField: it is something else.
    """
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise BadField(name, f"{name} is true or false, not {quoted(value)}")
    return bool(value)


def text(value: Any, place: str, most: int) -> str:
    """A string of at most `most` characters.

    Raises:
        BadField: it is something else (400), or longer (413).
    """
    if not isinstance(value, str):
        raise BadField(place, f"{place} is a string, not {quoted(value)}")
    if len(value) > most:
        raise BadField(
            place, f"{place} has {len(value)} characters; at most {most} are taken", "string_too_long", 413
        )
    if not is_unicode(value):
        raise BadField(place, f"{place} holds half of a surrogate pair")
    return value


def check_known(
    body: Body, known: Collection[str], unsupported: Mapping[str, tuple[Any, ...]], place: str = ""
) -> None:
    """Refuse fields that are not known, and those that ask for what this server does not do.

    Args:
        body: what was sent.
        known: names of fields.
        unsupported: names of others, and the values besides null that ask for nothing.
        place: what stands before the names in errors.

    Raises:
        BadField: 400.
    """
    for name, value in body.items():
        if name in known:
            continue
        if name not in unsupported:
            said = did_you_mean(name, known) if len(name) <= LONGEST_KEY else ""
            field = place + name[:LONGEST_KEY]
            raise BadField(field, f"unknown field {quoted(place + name)}{said}", "unknown_parameter")
        if value is not None and value not in unsupported[name]:
            said = f"{place}{name} is not supported by this server: leave it out"
            raise BadField(place + name, said, "unsupported")
