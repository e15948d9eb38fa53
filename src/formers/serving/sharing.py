"""Whose texts the model reads next: addresses share it alike, and so do the connections of one address.

Fair queueing by tokens, with a clock that runs as fast as a client is served who gets just his share (Demers,
Keshav, Shenker, "Analysis and simulation of a fair queueing algorithm", 1989). Who asks for less than his
share waits for no other's backlog; what is left of the model goes to whoever wants more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from itertools import chain
from typing import Any

from formers.serving.work import ClientKey, Item, Job

LOOK_AHEAD = 16  # passes' worth of tokens that are sorted by length
BURST = 512  # tokens that a client may have ahead of its share before others come first
MOST_AHEAD = 8 * BURST  # what is held against a client who had the model to himself
RECENT = 1.0  # seconds for which a client counts after its last text
_MOST_KNOWN = 8192  # connections


class Clients:
    """Whose share of the model a request takes: its connection's.

    Connections of one address that have not taken an answer yet have one share together: who asks on a new
    one each time, and leaves before the answer, gains nothing by it.
    """

    def __init__(self) -> None:
        self._known: dict[ClientKey, None] = {}  # connections that took an answer, the latest last

    def of(self, scope: Mapping[str, Any]) -> ClientKey:
        """The client of a request."""
        peer = tuple(scope.get("client") or (None, None))
        return peer if peer in self._known else (peer[0], None)

    def remember(self, scope: Mapping[str, Any]) -> None:
        """A client took its answer."""
        peer = tuple(scope.get("client") or (None, None))
        self._known.pop(peer, None)
        self._known[peer] = None
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]


class _Client:
    """The jobs of one client, and how much it was given: tokens times the connections it shares with."""

    __slots__ = ("jobs", "seen", "served")

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.served, self.seen = 0.0, 0.0

    def texts(self) -> Iterator[Item]:
        """What waits, in order."""
        for job in self.jobs:
            yield from job.items


class Shares:
    """The jobs that wait, by client. Used by one thread."""

    def __init__(self) -> None:
        self._clients: dict[ClientKey, _Client] = {}
        self._now = 0.0
        self._siblings: Counter[Hashable] = Counter()

    def __bool__(self) -> bool:
        return any(client.jobs for client in self._clients.values())

    def add(self, job: Job) -> None:
        """Take a job in."""
        if (client := self._clients.get(job.client)) is None:
            client = self._clients[job.client] = _Client()
            self._siblings[job.client[0]] += 1
        if not client.jobs:
            client.served = max(client.served, self._now)
        client.jobs.append(job)

    def ahead(self, budget: int, short: float) -> list[Item]:
        """The texts to choose the next pass from; the first of them must be in it.

        Args:
            budget: tokens of a pass at most.
            short: tokens of a pass that lets nobody wait long. While other clients are about, those that are
                ahead of their share fill a pass up to so many.
        """
        self._forget()
        waiting = sorted(
            ((key, client) for key, client in self._clients.items() if client.jobs),
            key=lambda pair: pair[1].served,
        )
        most = LOOK_AHEAD * budget
        chosen: list[Item] = []
        beyond: list[Iterator[Item]] = []
        tokens = 0
        for (address, _), client in waiting:
            weight, texts = self._siblings[address], client.texts()
            left = most if len(self._clients) == 1 else (self._now - client.served) / weight + BURST
            for item in texts:
                if tokens >= most or (left <= 0 and chosen):
                    beyond.append(chain((item,), texts))
                    break
                chosen.append(item)
                tokens += item.length
                left -= item.length
        for texts in beyond:
            for item in texts:
                if tokens + item.length > short:
                    break
                chosen.append(item)
                tokens += item.length
        return chosen

    def take(self, batch: list[Item]) -> None:
        """Charge a pass to its clients, and forget its texts."""
        gone = set(map(id, batch))
        for item in batch:
            job = item.job
            self._clients[job.client].served += item.length * self._siblings[job.client[0]]
        for job in {id(item.job): item.job for item in batch}.values():
            job.items = [item for item in job.items if id(item) not in gone]
        self._now += sum(item.length for item in batch) / max(1, len(self._siblings))

    def _forget(self) -> None:
        """Drop the jobs that are done, and the clients that have been away."""
        now = time.monotonic()
        for key, client in list(self._clients.items()):
            if client.jobs:
                client.seen = now
                client.jobs = [job for job in client.jobs if job.waits]
                client.served = min(client.served, self._now + MOST_AHEAD * self._siblings[key[0]])
            elif now - client.seen > RECENT:
                del self._clients[key]
                self._siblings[key[0]] -= 1
        self._siblings = +self._siblings
