"""The human queue: texts that a person must decide, kept in SQLite so that no crash loses one."""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

STATUSES = ("open", "resolved")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created REAL NOT NULL,
    request_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL,
    label TEXT,
    score REAL,
    threshold REAL,
    scores TEXT NOT NULL,
    tokens INTEGER,
    revision TEXT,
    status TEXT NOT NULL DEFAULT 'open',
    resolved_label TEXT,
    resolved_by TEXT,
    resolved_note TEXT,
    resolved REAL
);
CREATE INDEX IF NOT EXISTS items_by_status ON items (status, id);
"""
_VERSION = 1
LARGEST = 2**63 - 1  # the largest number that SQLite keeps
_MOST_PER_COMMIT = 2048


class QueueError(Exception):
    """The queue's file cannot be opened, read or written."""


class QueueFull(QueueError):
    """The queue's file holds as much as it may."""


class NotThere(LookupError):
    """No item has this number."""


class AlreadyResolved(ValueError):
    """The item was resolved before, and differently; `item` is how it stands."""

    def __init__(self, item: Item) -> None:
        note = f" with the note {item.resolved_note!r}" if item.resolved_note else ""
        super().__init__(
            f"item {item.id} was resolved as {item.resolved_label!r} by {item.resolved_by!r}{note}"
        )
        self.item = item


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a text that goes to a person. `reason` is a word: below_threshold, timeout, error."""

    text: str
    reason: str
    request_id: str
    label: str | None = None
    score: float | None = None
    threshold: float | None = None
    scores: Sequence[tuple[str, float]] = ()
    tokens: int | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Entry):
    """An entry of the queue as it stands. Times are seconds since 1970, UTC."""

    id: int
    created: float
    status: str
    resolved_label: str | None
    resolved_by: str | None
    resolved_note: str | None
    resolved: float | None


_ENTERED = [field.name for field in fields(Entry)]
_COLUMNS = [field.name for field in fields(Item)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM items WHERE "


class HumanQueue:
    """A durable queue in one SQLite file.

    One thread writes. It takes all that has come in meanwhile into one transaction, so that hundreds of
    requests share one wait for the disk, and a future is done only when its write is on the disk (WAL,
    synchronous=FULL). Reads use a connection of their own and see what is committed.

    Args:
        path: the file.
        most_bytes: size of the file from which on nothing new is kept; decisions still are.

    Raises:
        QueueError: when the file cannot be opened or holds something else.
    """

    def __init__(self, path: str | Path, most_bytes: int | None = None) -> None:
        self.path = Path(path)
        self.most_bytes = most_bytes
        try:
            self.path.touch(mode=0o600)  # people's texts: for the owner alone, the -wal file likewise
            self._writer = self._connect()
            self._prepare()
            self._reader = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise QueueError(f"cannot open the human queue {str(self.path)!r}: {error}") from error
        self._reading = threading.Lock()
        self._orders: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="formers-human-queue", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _prepare(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise QueueError(
                f"the human queue {str(self.path)!r} has format {version}; this version reads {_VERSION}"
            )
        if not version and self._writer.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            raise QueueError(f"{str(self.path)!r} is a database of something else: name another file")
        self._writer.executescript(_SCHEMA)
        self._writer.execute(f"PRAGMA user_version={_VERSION}")

    # --- writing ---------------------------------------------------------------------------------

    def put(self, entries: Sequence[Entry]) -> Future[list[int]]:
        """Keep `entries`; the future gives their numbers once they are on the disk.

        The future raises QueueError when they could not be written, QueueFull when there is no room for them.
        """

        def keep() -> list[int]:
            self._check_room()
            return [self._insert(entry) for entry in entries]

        return self._order(keep)

    def _check_room(self) -> None:
        if self.most_bytes is None:
            return
        pages, free, size = (
            self._writer.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size >= self.most_bytes:
            raise QueueFull(
                f"the human queue {str(self.path)!r} is full: it holds {self.most_bytes} bytes. Export what "
                "is decided and move the file away, or allow more (max_queue_bytes)"
            )

    def resolve(self, number: int, label: str, by: str, note: str = "") -> Future[Item]:
        """Record a person's decision. Saying the same thing twice is fine, so that a request can be repeated.

        The future raises NotThere for an unknown number, AlreadyResolved when another decision stands:
        another label, person or note.
        """

        def settle() -> Item:
            item = _find(self._writer, number)
            if item.status == "resolved":
                if (item.resolved_label, item.resolved_by, item.resolved_note) == (label, by, note):
                    return item
                raise AlreadyResolved(item)
            self._writer.execute(
                "UPDATE items SET status='resolved', resolved_label=?, resolved_by=?, resolved_note=?, "
                "resolved=? WHERE id=?",
                (label, by, note, time.time(), number),
            )
            return _find(self._writer, number)

        return self._order(settle)

    def close(self) -> None:
        """Write what is still to be written, then close the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._orders.put(None)
        self._thread.join()
        with self._reading:
            self._reader.close()
        self._writer.close()

    def _order(self, action: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(QueueError("the human queue is closed"))
            else:
                self._orders.put((action, future))
        return future

    def _insert(self, entry: Entry) -> int:
        values = {name: getattr(entry, name) for name in _ENTERED}
        values |= {"created": time.time(), "scores": json.dumps(list(entry.scores))}
        places = ",".join("?" * len(values))
        cursor = self._writer.execute(
            f"INSERT INTO items ({', '.join(values)}) VALUES ({places})", list(values.values())
        )
        return int(cursor.lastrowid or 0)

    def _write(self) -> None:
        last = False
        while not last:
            orders = [self._orders.get()]
            while len(orders) < _MOST_PER_COMMIT:
                try:
                    orders.append(self._orders.get_nowait())
                except queue.Empty:
                    break
            last = orders[-1] is None
            self._commit([order for order in orders if order is not None])

    def _commit(self, orders: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        """Run orders in one transaction; an order that fails leaves the others as they are."""
        if not orders:
            return
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for action, future in orders:
                outcomes.append((future, *self._attempt(action)))
            self._writer.execute("COMMIT")
        except Exception as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            failure = self._failure(error)
            outcomes = [(future, None, failure) for _, future in orders]
        for future, value, problem in outcomes:
            if not future.set_running_or_notify_cancel():
                continue  # nobody waits any more; what was written stands
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)

    def _attempt(self, action: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Run one order inside the transaction: its value, or its problem once its own writes are undone.

        Raises:
            Exception: the whole transaction is lost, as when the disk is full.
        """
        self._writer.execute("SAVEPOINT one")
        value: Any = None
        problem: BaseException | None = None
        try:
            value = action()
        except (NotThere, AlreadyResolved, QueueFull) as refusal:
            problem = refusal
        except Exception as error:
            if not self._writer.in_transaction:
                raise
            self._writer.execute("ROLLBACK TO one")
            problem = self._failure(error)
        self._writer.execute("RELEASE one")
        return value, problem

    def _failure(self, error: Exception) -> QueueError:
        return QueueError(f"cannot write the human queue {str(self.path)!r}: {error}")

    # --- reading ---------------------------------------------------------------------------------

    def get(self, number: int) -> Item:
        """Return one item.

        Raises:
            NotThere: for an unknown number.
        """
        return self._read(lambda reader: _find(reader, number))

    def items(self, status: str | None = "open", *, limit: int = 50, after: int = 0) -> list[Item]:
        """Return up to `limit` items with numbers above `after`, the oldest first; `status` None: all."""
        where, values = "id>? ORDER BY id LIMIT ?", (min(after, LARGEST), min(limit, LARGEST))
        if status is None:
            return self._read(lambda reader: _select(reader, where, values))
        return self._read(lambda reader: _select(reader, f"status=? AND {where}", (status, *values)))

    def counts(self) -> dict[str, int]:
        """Return how many items are open and how many resolved."""
        query = "SELECT status, COUNT(*) FROM items GROUP BY status"
        rows = self._read(lambda reader: reader.execute(query).fetchall())
        return {**dict.fromkeys(STATUSES, 0), **dict(rows)}

    def pages(self, status: str | None, after: int = 0, size: int = 20) -> Iterator[list[Item]]:
        """Yield all items as `items` does, `size` at a time, so that few texts are held at once."""
        while items := self.items(status, limit=size, after=after):
            yield items
            after = items[-1].id

    def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._reading:
                return look(self._reader)
        except sqlite3.Error as error:
            raise QueueError(f"cannot read the human queue {str(self.path)!r}: {error}") from error


def _select(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Item]:
    return [_item(row) for row in connection.execute(_SELECT + where, values)]


def _find(connection: sqlite3.Connection, number: int) -> Item:
    found = _select(connection, "id=?", (number,)) if 0 < number <= LARGEST else []
    if not found:
        raise NotThere(f"the queue has no item {number}")
    return found[0]


def _item(row: tuple[Any, ...]) -> Item:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["scores"] = [(label, score) for label, score in json.loads(values["scores"])]
    return Item(**values)
