"""Texts while they are written: from the engine's tokens to pieces for a reader on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from formers.generation.engine import Request
from formers.generation.streamers import RunningText
from formers.serving.limits import Gone

_CONTEXT = 8  # tokens of a prompt that say how a text joins it


@dataclass(frozen=True, slots=True)
class Told:
    """One token of a text: its number, its log-probability, the likeliest beside it, where it begins."""

    token: int
    log_prob: float
    tops: list[tuple[int, float]]
    start: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of text `index`; with its last one `ended`."""

    index: int
    text: str
    told: list[Told] = field(default_factory=list)
    ended: Request | None = None


class Stops:
    """Text up to the first of some strings, which may be split over its pieces.

    The end of a text that may be the beginning of such a string is held back.

    Args:
        strings: none of them empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = strings
        self._held = ""

    def add(self, text: str) -> tuple[str, bool]:
        """What is certain now, and whether a string was found behind it."""
        text = self._held + text
        found = [at for at in map(text.find, self.strings) if at >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        kept = max((begun(text, one) for one in self.strings), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def end(self) -> str:
        """What was held back."""
        text, self._held = self._held, ""
        return text


def begun(text: str, string: str) -> int:
    """How many characters at the end of `text` begin `string`."""
    most = min(len(string) - 1, len(text))
    return next((count for count in range(most, 0, -1) if text.endswith(string[:count])), 0)


class Text:
    """One text, in the engine's thread: its tokens in, pieces out.

    Args:
        index: its number in the answer.
        tokenizer: has `decode`.
        before: tokens that it is joined to; none where it stands for itself.
        stop: strings that end it, and are left out.
        post: takes pieces.
        marks: whether special tokens are part of the text.
    """

    def __init__(
        self,
        index: int,
        tokenizer: Any,
        before: Sequence[int],
        stop: Sequence[str],
        post: Callable[[Piece], None],
        marks: bool = False,
    ) -> None:
        self.index, self.post = index, post
        self._text = RunningText(tokenizer, skip_special_tokens=not marks, clean_up_tokenization_spaces=False)
        if before:
            self._text.add(list(before[-_CONTEXT:]))
        self._stops = Stops(stop)
        self._told: list[Told] = []
        self._read = 0  # characters that the tokens came to
        self._given = 0  # of those, characters that were posted
        self._stopped = False

    def on_token(self, request: Request, token: int, log_prob: float | None) -> bool:
        """Take a token; whether a stop string ends the text."""
        if token in request.ends:
            return True
        if log_prob is not None:
            tops = request.tops[-1] if request.top else []
            self._told.append(Told(token, log_prob, tops, self._read))
        self._take(self._text.add([token]))
        return self._stopped

    def on_end(self, request: Request) -> None:
        """Post what is left."""
        if not self._stopped:
            self._take(self._text.end())
        rest = "" if self._stopped else self._stops.end()
        self._given += len(rest)
        told = [one for one in self._told if not self._stopped or one.start < self._given]
        self.post(Piece(self.index, rest, told, request))

    def _take(self, text: str) -> None:
        self._read += len(text)
        new, self._stopped = self._stops.add(text)
        if not new:
            return
        self._given += len(new)
        told = [one for one in self._told if one.start < self._given]
        self._told = self._told[len(told) :]
        self.post(Piece(self.index, new, told))


class Pieces:
    """The pieces of all texts of one answer, for one reader on the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._new: deque[Piece] = deque()
        self._gone = False

    def post(self, piece: Piece) -> None:
        """Hand over a piece; from any thread."""
        self._new.append(piece)
        if not self._ready.is_set():  # the reader clears it before it looks, so no piece is missed
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody reads
                self._loop.call_soon_threadsafe(self._ready.set)

    def leave(self) -> None:
        """The client went away."""
        self._gone = True
        self._ready.set()

    async def read(self, texts: int) -> AsyncIterator[Piece]:
        """Pieces until `texts` of them have ended.

        Raises:
            Gone: the client went away.
        """
        while texts:
            await self._ready.wait()
            self._ready.clear()
            if self._gone:
                raise Gone
            while self._new:
                piece = self._new.popleft()
                texts -= piece.ended is not None
                yield piece
