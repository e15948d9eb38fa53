"""Numbers and dates that texts speak of, and how they compare, as TAPAS reads them (arXiv:2004.02349)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

# A number, or year, month and day, where None stands for what is not said.
Value: TypeAlias = "float | tuple[float | None, ...]"

_NUMBER = re.compile(r"((^|\s)[+-])?((\.\d+)|(\d+(,\d\d\d)*(\.\d*)?))")
_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve
zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
"""
_NUMBERS = {word: float(index % 13) for index, word in enumerate(_WORDS.split())}
# How dates are written (as `strptime` reads them), in the order of trying.
_DATES = (
    *("%B", "%Y", "%Ys", "%b %Y", "%B %Y", "%B %d", "%b %d", "%d %b", "%d %B", "%B %d, %Y", "%d %B %Y"),
    *("%m-%d-%Y", "%Y-%m-%d", "%Y-%m", "%d %b %Y", "%b %d, %Y", "%d.%m.%Y", "%A, %b %d", "%A, %B %d"),
)
_PARTS = {"%A": r"\w+", "%B": r"\w+", "%Y": r"\d{4}", "%b": r"\w{3}", "%d": r"\d{1,2}", "%m": r"\d{1,2}"}
_YEARS = range(1700, 2017)
_LONGEST_DATE = 5  # words


def _date_form(form: str) -> tuple[str, re.Pattern[str], tuple[bool, bool, bool]]:
    pattern = re.escape(form).replace(r"\ ", r"\s+")
    for part, written in _PARTS.items():
        pattern = pattern.replace(part, written)
    month = "%B" in form or "%b" in form or "%m" in form
    return form, re.compile(f"^{pattern}$"), ("%Y" in form, month, "%d" in form)


_DATE_FORMS = tuple(map(_date_form, _DATES))


def _number_in(text: str) -> float | None:
    text = re.sub("(st|nd|rd|th)$", "", text).replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) or value == math.inf else value


def _date_in(text: str) -> Value | None:
    text = re.sub(r"Sept\b", "Sep", text)
    for form, pattern, says in _DATE_FORMS:
        if not pattern.match(text):
            continue
        try:
            date = datetime.strptime(text, form)
        except ValueError:
            continue
        if date.year in _YEARS:
            parts = zip((date.year, date.month, date.day), says, strict=True)
            return tuple(float(part) if said else None for part, said in parts)
    return None


def _spans(text: str, words: int) -> Iterator[tuple[int, int]]:
    """Where up to so many words stand beside each other."""
    found = [match.span() for match in re.finditer(r"[^\W_]+", text)]
    for last, (_, end) in enumerate(found):
        for start, _ in found[max(0, last + 1 - words) : last + 1]:
            yield start, end


def values_in(text: str) -> list[Value]:
    """The numbers and dates that a text speaks of, in its order; none that lies inside another."""
    text = " ".join(text.lower().split())
    found: dict[tuple[int, int], list[Value]] = {}
    for match in _NUMBER.finditer(text):
        number = _number_in(match[0])
        if number is not None:
            found[match.span()] = [number]
    for start, end in _spans(text, 1):
        if (start, end) in found:
            continue
        word = text[start:end]
        values = [value for value in (_number_in(word), _NUMBERS.get(word)) if value is not None]
        if values:
            found[start, end] = [*values]
    for start, end in _spans(text, _LONGEST_DATE):
        date = _date_in(text[start:end])
        if date is not None:
            found.setdefault((start, end), []).append(date)
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda span: (span[0] - span[1], span[0])):
        if not any(first <= start and end <= last for first, last in kept):
            kept.append((start, end))
    return [value for span in sorted(kept) for value in found[span]]


def in_column(texts: Sequence[str]) -> dict[int, Value]:
    """The value of each cell of a column that has one, all of one kind: row -> value.

    There are none where fewer than seven cells in ten have a value of that kind.
    """
    rows = [values_in(text) for text in texts]
    counts = {
        kind: sum(any(isinstance(value, kind) for value in values) for values in rows)
        for kind in (tuple, float)
    }
    most = max(counts.values())
    if not most or most < len(rows) * 0.7:
        return {}
    kind = next(kind for kind, count in counts.items() if count == most)  # dates before numbers
    fitting = (
        (row, [value for value in values if isinstance(value, kind)]) for row, values in enumerate(rows)
    )
    return {row: values[0] for row, values in fitting if values}


def key_of(values: Iterable[Value]) -> Callable[[Value], Any] | None:
    """By what values compare: numbers as they are, dates by what all of them say; None where they do not."""
    values = list(values)
    dates = [value for value in values if isinstance(value, tuple)]
    if not dates:
        return (lambda value: value) if values else None
    said = [place for place in range(3) if all(date[place] is not None for date in dates)]
    if len(dates) < len(values) or not said:
        return None
    return lambda value: tuple(value[place] for place in said) if isinstance(value, tuple) else value


def ranks_of(column: Mapping[int, Value]) -> dict[int, tuple[int, int]]:
    """The ranks of each cell of a column, from the smallest value and from the largest: row -> from 1."""
    key = key_of(column.values())
    if key is None:
        return {}
    keys = {row: key(value) for row, value in column.items()}
    order = {value: rank for rank, value in enumerate(sorted(set(keys.values())))}
    return {row: (order[value] + 1, len(order) - order[value]) for row, value in keys.items()}


def relations_of(asked: Iterable[Value], column: Mapping[int, Value]) -> dict[int, int]:
    """How values that were asked for compare to cells: row -> 1 (equal) + 2 (less) + 4 (greater)."""
    found: dict[int, int] = {}
    for value in asked:
        key = key_of([*column.values(), value]) if column else None
        for row, other in column.items() if key is not None else ():
            one, two = key(value), key(other)  # type: ignore[misc]  # not None here
            found[row] = found.get(row, 0) | (1 if one == two else 2 if one < two else 4)
    return found
