"""What the library says to people: notices that come once, and refusals that name the way out."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from types import FrameType
from typing import Any, TypeVar

from formers.core.dropin_state import stands_for_another

C = TypeVar("C", bound=type)
_PACKAGE = __name__.split(".")[0]


class Notice(UserWarning):
    """A pitfall that the library noticed. Each distinct notice is given once per process."""


_given: set[str] = set()


def notice(text: str, *, key: str | None = None) -> None:
    """Warn with `text`, once per process for each `key` (the text itself when no key is given).

    The warning names the line that called this package. Where the library's loggers are set above "warning"
    (`formers.logging.set_verbosity_error()`), nothing is said.
    """
    key = key or text
    if key not in _given and logging.getLogger(_PACKAGE).isEnabledFor(logging.WARNING):
        _given.add(key)
        warnings.warn(text, Notice, stacklevel=_depth_of_caller())


def given(key: str) -> bool:
    """Whether the notice with that key was given, so that nobody looks for its cause again."""
    return key in _given


def _depth_of_caller() -> int:
    """How far up the stack this package was entered."""
    frame: FrameType | None = sys._getframe(2)
    depth, entered = 2, 1
    while frame is not None:
        if frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
            entered = depth
        frame, depth = frame.f_back, depth + 1
    return entered + 1


def forget_notices() -> None:
    """Let every notice be given again (tests, long-lived notebooks)."""
    _given.clear()


def printable(text: str, kept: str = "\n") -> str:
    """`text` with what a terminal would obey rather than show written out, as in Python, except `kept`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest of `choices`, or an empty string."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def refuse_or_leave_out(given: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Refuse keywords that `where` does not take, or leave them out and say so; see `core.dropin_state`.

    Raises:
        TypeError: as `refuse_unknown`.
    """
    try:
        refuse_unknown(given, allowed, where)
    except TypeError as error:
        if not stands_for_another():
            raise
        notice(f"{error}: left out, as it is for no field")


def refuse_unknown(given: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Refuse keywords that `where` does not take.

    Raises:
        TypeError: naming every unknown keyword, each with the nearest allowed one.
    """
    allowed = list(allowed)
    unknown = [word for word in given if word not in allowed]
    if unknown:
        listed = ", ".join(f"{word!r}{did_you_mean(word, allowed)}" for word in unknown)
        raise TypeError(f"{where} got unexpected keyword(s): {listed}")


def suggest_keywords(kind: C) -> C:
    """Make a class refuse keywords that its constructor does not take, each with the nearest that it takes.

    For classes whose constructor has no `**kwargs`; Python's own refusal names no neighbour.
    """
    construct: Any = vars(kind)["__init__"]
    code = construct.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        refuse_unknown(kwargs, names, type(self).__name__)
        construct(self, *args, **kwargs)

    kind.__init__ = __init__  # type: ignore[misc]
    return kind


def reader_went_away() -> None:
    """Let the interpreter end quietly when the reader of a pipe has closed it (`formers predict | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
