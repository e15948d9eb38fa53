"""Fields of a form that a model wrote, between marks such as `<s_total>` and `</s_total>`."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

_SEPARATOR = "<sep/>"


def fields_in(text: str, known: Collection[str] = (), inner: bool = False) -> Any:
    """The fields of a text by name (Kim et al. 2021, arXiv:2111.15664, section 3.2).

    Args:
        text: with the marks of its fields; those that are never closed are left out.
        known: tokens of the vocabulary that are values by themselves, such as `<yes/>`.
        inner: it is the value of a field.

    Returns:
        Name -> value, which is a text, fields, or a list of such where `<sep/>` stands between; without any
        field `{"text_sequence": text}`.
    """
    found: dict[str, Any] = {}
    while (begin := re.search(r"<s_[^>]*>", text, re.IGNORECASE)) is not None:
        key = begin[0][3:-1]
        end = re.search(re.escape(f"</s_{key}>"), text, re.IGNORECASE)
        if end is None:
            text = text.replace(begin[0], "")
            continue
        inside = re.compile(re.escape(end[0]), re.IGNORECASE).search(text, begin.end())
        if inside is not None:
            _put(found, key, text[begin.end() : inside.start()].strip(), known)
        text = text[end.end() :].strip()
        if text.startswith(_SEPARATOR):
            return [found, *fields_in(text.removeprefix(_SEPARATOR), known, inner=True)]
    if inner:
        return [found] if found else []
    return found or {"text_sequence": text}


def _put(found: dict[str, Any], key: str, content: str, known: Collection[str]) -> None:
    """One field, whose content is other fields or texts."""
    if "<s_" in content and "</s_" in content:
        values = fields_in(content, known, inner=True)
        if values:
            found[key] = values[0] if len(values) == 1 else values
        return
    parts = [part.strip() for part in content.split(_SEPARATOR)]
    plain = [
        part[1:-2] if part in known and part[:1] == "<" and part[-2:] == "/>" else part for part in parts
    ]
    found[key] = plain[0] if len(plain) == 1 else plain
