"""Who is next: a fair queue of what waits, and the rows of what runs."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from formers.generation.engine.request import Request


class Full(RuntimeError):
    """There is no room for one more request; try again later."""


class Scheduler:
    """Requests that wait, by client in turn, and those that run.

    Args:
        rows: how many run at once.
        tokens: how many tokens those may come to, prompts and what may follow.
        waiting: how many may wait.
    """

    def __init__(self, rows: int, tokens: int, waiting: int) -> None:
        self.rows, self.tokens, self.most_waiting = rows, tokens, waiting
        self._queues: OrderedDict[str, deque[Request]] = OrderedDict()
        self.running: list[Request] = []
        self.reading: Request | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._queues and not self.running and self.reading is None

    def add(self, request: Request) -> None:
        """Let a request wait.

        Raises:
            Full: when too many do.
            ValueError: for one that could never run.
        """
        if len(request.prompt) + request.most > self.tokens:
            raise ValueError(
                f"the prompt has {len(request.prompt)} tokens and {request.most} may follow, but at most "
                f"{self.tokens} fit: ask for fewer"
            )
        if self.waiting >= self.most_waiting:
            raise Full(f"{self.waiting} requests wait already")
        self._queues.setdefault(request.client, deque()).append(request)

    def next(self) -> Request | None:
        """The request whose prompt is read next: the one that is being read, or the next client's first.

        A client's turn does not pass while its request finds no room, so nobody starves.
        """
        if self.reading is not None:
            return self.reading
        for client, queue in self._queues.items():
            return self._take(client) if queue[0].cancelled or self._fits(queue[0]) else None
        return None

    def withdraw(self, request: Request) -> bool:
        """Take a request out of those that wait; whether it was among them."""
        queue = self._queues.get(request.client)
        if queue is None or request not in queue:
            return False
        queue.remove(request)
        if not queue:
            del self._queues[request.client]
        return True

    def _take(self, client: str) -> Request:
        queue = self._queues.pop(client)
        self.reading = queue.popleft()
        if queue:  # its next request comes after those of all others
            self._queues[client] = queue
        return self.reading

    def _fits(self, request: Request) -> bool:
        if len(self.running) >= self.rows:
            return False
        taken = sum(len(one.prompt) + one.most for one in self.running)
        return taken + len(request.prompt) + request.most <= self.tokens

    def run(self, request: Request) -> None:
        """The prompt was read: the request gets the next row."""
        self.reading = None
        self.running.append(request)

    def leave(self, row: int) -> Request:
        """A row ends; the last one takes its place."""
        found = self.running[row]
        self.running[row] = self.running[-1]
        self.running.pop()
        return found

    def everyone(self) -> Iterator[Request]:
        """All requests, waiting, reading and running."""
        for queue in self._queues.values():
            yield from queue
        if self.reading is not None:
            yield self.reading
        yield from self.running

    def clear(self) -> None:
        """Forget all."""
        self._queues.clear()
        self.running, self.reading = [], None
