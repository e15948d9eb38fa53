"""The values of a request, each of a kind of the table: checked, decoded, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from formers.serving.limits import Refusal, is_unicode, quoted
from formers.serving.settings import Settings
from formers.serving.tasks.media import film, packed, picture, sound

TOGETHER = 4  # all pictures (sounds) of a request may have so many times what one may
_PIXELS, _SECOND = 1024, 50  # pixels of one "token", and tokens of a second: what is held costs as much
_FRAMES = 16  # of a film that are read, about
_ROLES = ("system", "user", "assistant")
# where a part of a message has its picture: as the ecosystem's chats have it, and as the OpenAI API's
_SHOWN = ("image", "url", "base64", "image_url")


class Values:
    """Reads the values of one request.

    Args:
        settings: limits.
        rate: of sounds, in Hz.
    """

    def __init__(self, settings: Settings, rate: int) -> None:
        self._limits, self._rate = settings, rate
        self._pixels, self._seconds = settings.max_pixels * TOGETHER, settings.max_seconds * TOGETHER
        self._readers: dict[str, Callable[[Any, str], tuple[Any, int]]] = {
            "picture": self._picture,
            "pictures": lambda given, place: self._several(given, place, self._picture),
            "sound": self._sound,
            "sounds": lambda given, place: self._several(given, place, self._sound),
            "film": self._film,
            "text": self._text,
            "texts": self._texts,
            "table": self._table,
            "boxes": self._boxes,
            "messages": lambda given, place: self._chat(given, place, False),
            "chat": lambda given, place: self._chat(given, place, True),
        }

    def of(self, kind: str, given: Any, place: str) -> tuple[Any, int]:
        """A value of a kind as the pipeline takes it, and what it costs, about what a token does.

        Args:
            kind: of the table of tasks.
            given: what JSON or a form holds.
            place: what errors call it.

        Raises:
            Refusal: 413 where it is too large, 422 where it is no such value.
        """
        return self._readers[kind](given, place)

    def check_text(self, given: Any, place: str) -> None:
        """Refuse what is no text, or none that is taken.

        Raises:
            Refusal: 413 where it is too long, else 422.
        """
        if not isinstance(given, str):
            raise Refusal(422, f"{place} must be a string")
        self._bound(len(given), place)
        if not given or given.isspace():
            raise Refusal(422, f"{place} is empty")
        if not is_unicode(given):
            raise Refusal(422, f"{place} holds half of a surrogate pair")

    def _bound(self, characters: int, place: str) -> None:
        most = self._limits.max_chars
        if characters > most:
            raise Refusal(413, f"{place} has {characters} characters; at most {most} are taken")

    def _text(self, given: Any, place: str) -> tuple[str, int]:
        self.check_text(given, place)
        return given, _cost(given)

    def _texts(self, given: Any, place: str) -> tuple[list[str], int]:
        if not isinstance(given, list) or not given:
            raise Refusal(422, f"{place} must be a list of texts")
        most = self._limits.max_texts
        if len(given) > most:
            raise Refusal(413, f"{place} has {len(given)} texts; at most {most} are taken")
        for number, one in enumerate(given):
            self.check_text(one, f"{place}[{number}]")
        return given, sum(map(_cost, given))

    def _several(
        self, given: Any, place: str, read: Callable[[Any, str], tuple[Any, int]]
    ) -> tuple[list[Any], int]:
        """One, or a list of them."""
        if not isinstance(given, list):
            given = [given]
        if not given:
            raise Refusal(422, f"{place} is an empty list")
        found = [read(one, f"{place}[{number}]") for number, one in enumerate(given)]
        return [value for value, _ in found], sum(cost for _, cost in found)

    def _picture(self, given: Any, place: str) -> tuple[Any, int]:
        found = picture(packed(given, place), place, self._limits.max_pixels)
        pixels = found.width * found.height
        self._pixels -= pixels
        if self._pixels < 0:
            most = self._limits.max_pixels * TOGETHER
            raise Refusal(413, f"with {place}, the pictures have more than the {most} pixels that are taken")
        return found, max(64, pixels // _PIXELS)

    def _sound(self, given: Any, place: str) -> tuple[Any, int]:
        wave = sound(packed(given, place), place, self._rate, self._limits.max_seconds)
        self._seconds -= len(wave) / self._rate
        if self._seconds < 0:
            most = self._limits.max_seconds * TOGETHER
            raise Refusal(413, f"with {place}, the sounds last longer than the {most:g} s that are taken")
        return wave, max(16, len(wave) * _SECOND // self._rate)

    def _film(self, given: Any, place: str) -> tuple[bytes, int]:
        data = packed(given, place)
        pixels = film(data, place, self._limits.max_pixels)
        return data, max(64, _FRAMES * pixels // _PIXELS)

    def _table(self, given: Any, place: str) -> tuple[Any, int]:
        """A table: texts by columns."""
        if not isinstance(given, dict) or not given:
            raise Refusal(422, f"{place} must be an object of columns, each a list of texts")
        cells = 0
        for name, column in given.items():
            if not isinstance(column, list) or not all(isinstance(one, str) for one in column):
                raise Refusal(422, f"the column {quoted(name)} of {place} must be a list of texts")
            if not is_unicode(name) or not all(map(is_unicode, column)):
                raise Refusal(422, f"the column {quoted(name)} of {place} holds half of a surrogate pair")
            cells += len(name) + sum(map(len, column))
        self._bound(cells, place)
        return given, cells // 3 + 8

    def _boxes(self, given: Any, place: str) -> tuple[list[Any], int]:
        """Words with their boxes, `[word, [x0, y0, x1, y1]]` each."""
        found = []
        for one in given if isinstance(given, list) else [None]:
            word, box = one if isinstance(one, list) and len(one) == 2 else (None, None)
            numbers = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
            if not isinstance(word, str) or not numbers:
                raise Refusal(422, f"{place} must be a list of [word, [x0, y0, x1, y1]]")
            if not is_unicode(word):
                raise Refusal(422, f"a word of {place} holds half of a surrogate pair")
            found.append((word, box))
        self._bound(sum(len(word) for word, _ in found), place)
        return found, sum(_cost(word) for word, _ in found) + 8

    def _chat(self, given: Any, place: str, shows: bool) -> tuple[list[dict[str, Any]], int]:
        """Messages, each with a role and a content: a text, or parts of texts and pictures."""
        if not isinstance(given, list) or not given:
            raise Refusal(422, f"{place} must be a list of messages")
        if len(given) > self._limits.max_texts:
            raise Refusal(
                413, f"{place} has {len(given)} messages; at most {self._limits.max_texts} are taken"
            )
        found, cost = [], 0
        for number, one in enumerate(given):
            where = f"{place}[{number}]"
            if not isinstance(one, dict) or {*one} != {"role", "content"}:
                raise Refusal(422, f"{where} must be an object with role and content")
            if one["role"] not in _ROLES:
                raise Refusal(422, f"the role of {where} must be one of {', '.join(_ROLES)}")
            content, more = self._content(one["content"], f"{where}.content", shows)
            found.append({"role": one["role"], "content": content})
            cost += more
        return found, cost

    def _content(self, given: Any, place: str, shows: bool) -> tuple[Any, int]:
        if not shows or isinstance(given, str):
            return self._text(given, place)
        if not isinstance(given, list) or not given:
            raise Refusal(422, f"{place} must be a text, or a list of parts")
        found, cost = [], 0
        for number, part in enumerate(given):
            where, kind = f"{place}[{number}]", part.get("type") if isinstance(part, dict) else None
            if kind == "text":
                text, more = self._text(part.get("text"), f"{where}.text")
                found.append({"type": "text", "text": text})
            elif kind in ("image", "image_url"):
                shown = next((part[name] for name in _SHOWN if name in part), None)
                shown = shown.get("url") if isinstance(shown, dict) else shown
                image, more = self._picture(shown, where)
                found.append({"type": "image", "image": image})
            else:
                raise Refusal(422, f'{where} must be an object whose type is "text" or "image"')
            cost += more
        return found, cost


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _cost(text: str) -> int:
    return len(text) // 3 + 8
