"""The values of a request's fields, each read with an error that names the field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from formers.core.notices import did_you_mean
from formers.serving.limits import LONGEST_KEY, Refusal, is_unicode, quoted

Body = Mapping[str, Any]


class BadField(Refusal):
    """A request that is answered with 400, or another status; `param` names the field at fault."""

    def __init__(self, param: str | None, message: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(status, message)
        self.param, self.code = param, code


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


def check_known(body: Body, known: Collection[str], unsupported: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse fields that are not known, and those that ask for what this server does not do.

    Args:
        body: what was sent.
        known: names of fields.
        unsupported: names of others, and the values besides null that ask for nothing.

    Raises:
        BadField: 400.
    """
    for name, value in body.items():
        if name in known:
            continue
        if name not in unsupported:
            said = did_you_mean(name, known) if len(name) <= LONGEST_KEY else ""
            raise BadField(name[:LONGEST_KEY], f"unknown field {quoted(name)}{said}", "unknown_parameter")
        if value is not None and value not in unsupported[name]:
            raise BadField(name, f"{name} is not supported by this server: leave it out", "unsupported")
