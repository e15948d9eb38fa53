"""Responses that are kept, so that a client can go on from one or fetch it again."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from formers.serving.classify import encoded
from formers.serving.limits import quoted
from formers.serving.settings import Settings
from formers.serving.writing.values import BadField

Message = dict[str, Any]  # role and content, and what an answer called


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    answer: bytes
    conversation: bytes


class Kept:
    """The newest responses by their numbers: bounded in number, bytes and age. Any thread may ask.

    Args:
        limits: the bounds.
    """

    def __init__(self, limits: Settings) -> None:
        self.limits, self.bytes = limits, 0
        self._held: OrderedDict[str, _Entry] = OrderedDict()  # the oldest first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, number: str, answer: bytes, conversation: list[Message]) -> None:
        """Keep an answer and the conversation that it is the end of."""
        entry = _Entry(time.monotonic() + self.limits.keep_responses, answer, encoded(conversation))
        with self._lock:
            self._held[number] = entry
            self.bytes += _size(entry)
            self._forget()

    def answer(self, number: str) -> bytes:
        """A response, as it was given.

        Raises:
            BadField: 404.
        """
        return self._of(number, "response_id").answer

    def conversation(self, number: str) -> list[Message]:
        """The messages that led to a response, and its own.

        Raises:
            BadField: 404.
        """
        found: list[Message] = json.loads(self._of(number, "previous_response_id").conversation)
        return found

    def holds(self, number: str) -> bool:
        """Whether a response is kept."""
        with self._lock:
            self._forget()
            return number in self._held

    def take_over(self, other: Kept) -> None:
        """Keep what another one kept, which keeps it no longer: the model behind it goes."""
        with other._lock:
            theirs, other._held, other.bytes = other._held, OrderedDict(), 0
        with self._lock:
            both = sorted({**theirs, **self._held}.items(), key=lambda pair: pair[1].until)
            self._held = OrderedDict(both)
            self.bytes = sum(map(_size, self._held.values()))
            self._forget()

    def remove(self, number: str) -> None:
        """Forget a response; those that go on from it stay.

        Raises:
            BadField: 404.
        """
        self._of(number, "response_id")
        with self._lock:
            self._drop(number)

    def _of(self, number: str, param: str) -> _Entry:
        with self._lock:
            self._forget()
            entry = self._held.get(number)
        if entry is None:
            said = f"there is no response {quoted(number)} here: it was not stored, or is no longer kept"
            raise BadField(param, said, "response_not_found", 404)
        return entry

    def _forget(self) -> None:
        now, limits = time.monotonic(), self.limits
        while self._held:
            number, entry = next(iter(self._held.items()))
            fits = len(self._held) <= limits.max_kept_responses and self.bytes <= limits.max_kept_bytes
            if fits and now < entry.until:
                return
            self._drop(number)

    def _drop(self, number: str) -> None:
        if (entry := self._held.pop(number, None)) is not None:
            self.bytes -= _size(entry)


def _size(entry: _Entry) -> int:
    return len(entry.answer) + len(entry.conversation)
