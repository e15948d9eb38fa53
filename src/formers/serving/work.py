"""What waits for the model: the texts of a request, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from formers.serving.protocol import Prepared

ClientKey: TypeAlias = tuple[Hashable, Hashable]  # address and connection


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one text (a classifier: its scores), and the tokens that it read."""

    result: Any
    tokens: int
    cut: int = 0


class Job:
    """The texts of one request. Made and finished on the event loop; the worker fills `answers`.

    Attributes:
        client: whose share of the model it takes.
        items: the texts that have not run.
    """

    __slots__ = ("answers", "client", "dropped", "error", "estimate", "future", "items", "left", "timer")

    def __init__(
        self,
        texts: Sequence[Any],
        lengths: Sequence[int],
        client: ClientKey,
        future: asyncio.Future[list[Answer]],
    ) -> None:
        self.estimate = sum(lengths)
        self.client = client
        self.future = future
        self.items = [Item(self, index, *one) for index, one in enumerate(zip(texts, lengths, strict=True))]
        self.answers: list[Answer | None] = [None] * len(texts)
        self.left = len(texts)
        self.error: Exception | None = None
        self.dropped = False  # set on the loop, read by the worker: stale for at most one batch
        self.timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether a text of it is still to run."""
        return bool(self.items) and not self.dropped and self.error is None


class Item:
    """One text of a job, or its token ids. `length` in tokens is an estimate until it is `prepared`."""

    __slots__ = ("index", "job", "length", "prepared", "text")

    def __init__(self, job: Job, index: int, text: Any, length: int) -> None:
        self.job = job
        self.index = index
        self.text = text
        self.length = length
        self.prepared: Prepared | None = None
