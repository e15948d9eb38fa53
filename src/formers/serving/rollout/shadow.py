"""Shadow traffic: another version is asked what the current one was, and both answers are compared."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from formers.core.jsonfile import BadJson, parse_json
from formers.serving.rollout.live import Live

MOST_BYTES = 1 << 20  # of a body or an answer that is compared
_WAITING, _AT_ONCE, _SECONDS = 64, 4, 60.0
_EXAMPLES, _MOVES = 10, 100
# what two sound answers to one request may differ in
_OWN = frozenset(
    {"revision", "queue_id", "needs_human", "id", "created", "created_at", "tokens", "cut_tokens"}
)


@dataclass(frozen=True)
class Pair:
    """A request and its answer: the scope as it came, the body, and status and body of what was sent."""

    scope: MutableMapping[str, Any]
    body: bytes
    status: int
    answer: bytes


@dataclass(frozen=True)
class Difference:
    """How two answers differ.

    Attributes:
        alike: the labels are the same, or all that is no number.
        numbers: differences of scores, or of all numbers; empty where not alike.
        moves: (label, label of the shadow), where these are known.
    """

    alike: bool
    numbers: list[float]
    moves: list[tuple[str, str]]


class Shadow:
    """Asks a version what another one was asked, a few requests at a time; more than that is dropped.

    Args:
        live: the shadow.
        against: the version whose answers are sent.
        keep: whether answers that differ are kept as examples: they may say what people wrote.
    """

    def __init__(self, live: Live, against: Live, keep: bool) -> None:
        self.live, self.against, self._keep = live, against, keep
        self._began = time.time()
        self._pairs: asyncio.Queue[Pair] = asyncio.Queue(_WAITING)
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(_AT_ONCE)]
        self._counts: Counter[str] = Counter()
        self._moves: Counter[tuple[str, str]] = Counter()
        self._examples: deque[dict[str, Any]] = deque(maxlen=_EXAMPLES)
        self._numbers, self._sum, self._largest = 0, 0.0, 0.0

    def offer(self, pair: Pair) -> None:
        """Take a request; dropped where too many wait."""
        try:
            self._pairs.put_nowait(pair)
        except asyncio.QueueFull:
            self._counts["dropped"] += 1

    def drop(self) -> None:
        """Count a request that cannot be compared: too large, or streamed."""
        self._counts["dropped"] += 1

    def close(self) -> None:
        """Ask no more."""
        for worker in self._workers:
            worker.cancel()

    def report(self) -> dict[str, Any]:
        """The differences so far."""
        counts = self._counts.copy()
        moved = [(pair, count) for pair, count in self._moves.most_common() if pair[0] != pair[1]]
        return {
            "version": self.live.name,
            "against": self.against.name,
            "seconds": round(time.time() - self._began, 1),
            **{name: counts[name] for name in ("compared", "alike", "differ", "failed", "dropped")},
            "largest_difference": round(self._largest, 6),
            "mean_difference": round(self._sum / self._numbers, 6) if self._numbers else 0.0,
            "moved": [{"from": old, "to": new, "count": count} for (old, new), count in moved[:_MOVES]],
            "examples": list(self._examples),
        }

    async def _work(self) -> None:
        while True:
            pair = await self._pairs.get()
            self.live.inside += 1
            try:
                status, answer = await asyncio.wait_for(self._asked(pair), _SECONDS)
            except Exception:  # whatever the shadow raises is its answer; nobody waits for it
                status, answer = 500, b""
            finally:
                self.live.inside -= 1
            self._compare(pair, status, answer)

    async def _asked(self, pair: Pair) -> tuple[int, bytes]:
        """The shadow's answer."""
        status, parts, sent = 0, bytearray(), False
        started = time.perf_counter()

        async def receive() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()  # a client that stays
            sent = True
            return {"type": "http.request", "body": pair.body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif len(parts) <= MOST_BYTES:
                parts.extend(message.get("body", b""))

        await self.live.app(pair.scope, receive, send)
        self.live.note(status, time.perf_counter() - started)
        return status, bytes(parts)

    def _compare(self, pair: Pair, status: int, answer: bytes) -> None:
        self._counts["compared"] += 1
        if status != pair.status:
            self._counts["failed"] += 1
            return
        found = difference(pair.answer, answer)
        self._counts["alike" if found.alike else "differ"] += 1
        for move in found.moves:
            if move in self._moves or len(self._moves) < _MOVES:
                self._moves[move] += 1
        self._numbers += len(found.numbers)
        self._sum += sum(found.numbers)
        self._largest = max([self._largest, *found.numbers])
        if self._keep and not found.alike:
            told = {"path": pair.scope["path"], "sent": _shown(pair.answer), "shadow": _shown(answer)}
            self._examples.append(told)


def difference(one: bytes, other: bytes) -> Difference:
    """How two answers to one request differ."""
    if one == other:
        return Difference(True, [], [])
    try:
        first, second = parse_json(one, "an answer"), parse_json(other, "an answer")
    except BadJson:
        return Difference(False, [], [])
    old, new = _best(first), _best(second)
    if old and len(old) == len(new):
        moves = [(was, now) for (was, _), (now, _) in zip(old, new, strict=True)]
        scores = [abs(a - b) for (_, a), (_, b) in zip(old, new, strict=True)]
        return Difference(all(was == now for was, now in moves), scores, moves)
    numbers: list[float] = []
    alike = _walk(first, second, numbers)
    return Difference(alike, numbers if alike else [], [])


def _best(answer: Any) -> list[tuple[str, float]]:
    """The best label and its score of each answer of a classifier; empty for any other answer."""
    each = answer.get("results", [answer]) if isinstance(answer, dict) else answer
    if not isinstance(each, list) or not each:
        return []
    if all(isinstance(one, dict) and {*one} == {"label", "score"} for one in each):
        each = [each]  # all labels of one text
    found = []
    for one in each:
        rows = one if isinstance(one, list) else [one]
        scored = [row for row in rows if isinstance(row, dict) and isinstance(row.get("score"), (int, float))]
        if (
            not scored
            or len(scored) < len(rows)
            or not all(isinstance(row.get("label"), str) for row in scored)
        ):
            return []
        if any({*row} & {"box", "mask", "word", "start"} for row in scored):
            return []  # many found things, and not one answer
        best = max(scored, key=lambda row: float(row["score"]))
        found.append((best["label"], float(best["score"])))
    return found


def _walk(one: Any, other: Any, numbers: list[float]) -> bool:
    """Whether two answers are alike but for numbers, whose differences are gathered."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = {*one, *other} - _OWN
        return all(name in one and name in other and _walk(one[name], other[name], numbers) for name in names)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_walk(*two, numbers) for two in zip(one, other, strict=True))
    if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (one, other)):
        numbers.append(abs(one - other))
        return True
    return bool(one == other)


def _shown(answer: bytes) -> str:
    """How an answer begins."""
    return answer[:2000].decode("utf-8", "replace")
