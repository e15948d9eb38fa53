"""Processors of texts with pictures between marks, of which one stands where two would meet: Idefics 2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from formers.processing.placeholder_text import ShowingProcessor
from formers.processing.placeholders import Grown, expanded


class FencedShowingProcessor(ShowingProcessor):
    """Texts in which pictures stand between marks; see `ShowingProcessor`.

    Behind a mark a word begins with a blank.
    """

    fake_image_token: str

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        told = getattr(self.tokenizer, "image_boundary_token", None)
        if told:
            self.fake_image_token = told

    def _expanded(
        self, texts: list[str], pieces: Mapping[str, Iterator[str]]
    ) -> tuple[list[str], list[Grown]]:
        found, grown = expanded(texts, pieces)
        mark = re.escape(self.fake_image_token)
        made = []
        for text, more in zip(found, grown, strict=True):
            once, less = _rewritten(text, re.compile(f"{mark}{mark}"), self.fake_image_token)
            last, blanks = _rewritten(once, re.compile(rf"{mark}(?=[^\s<])"), f"{self.fake_image_token} ")
            made.append(type(text)(last))  # a whole conversation stays one
            before = [(_before(end, less), came) for end, came in blanks]
            more[:] = sorted([*more, *((_before(end, more), came) for end, came in sorted(less + before))])
        return made, grown


def _rewritten(text: str, pattern: re.Pattern[str], put: str) -> tuple[str, Grown]:
    """The text with that in place of what the pattern finds, and how it has grown."""
    hits = [(hit.end(), len(put) - len(hit.group())) for hit in pattern.finditer(text)]
    return pattern.sub(lambda _: put, text), hits


def _before(place: int, grown: Grown) -> int:
    """Where a place of a text lay before the text had grown; one within what came lay at its end."""
    total = 0
    for end, more in grown:
        if place >= end + total + more:
            total += more
        else:
            return min(end, max(place - total, 0)) if more < 0 or place - total < end else end
    return place - total
