"""The human queue: kept in order, decided once, readable by others, and honest when it cannot write."""

from __future__ import annotations

import sqlite3
import stat
import threading

import pytest

from formers.desk.queue import AlreadyResolved, Entry, HumanQueue, NotThere, QueueError, QueueFull


@pytest.fixture
def queue(tmp_path):
    queue = HumanQueue(tmp_path / "queue.sqlite3")
    yield queue
    queue.close()


def entry(text, **more):
    return Entry(text=text, reason="below_threshold", request_id="r-1", label="a", score=0.4, **more)


def test_entries_come_back_as_they_went_in(queue):
    given = entry("Grüße\n\0 text", threshold=0.75, scores=[("a", 0.4), ("b", 0.3)], tokens=7, revision="abc")
    (number,) = queue.put([given]).result(10)
    item = queue.get(number)
    assert (item.text, item.label, item.score, item.threshold) == (given.text, "a", 0.4, 0.75)
    assert (item.scores, item.tokens, item.revision) == ([("a", 0.4), ("b", 0.3)], 7, "abc")
    assert (item.status, item.reason, item.request_id) == ("open", "below_threshold", "r-1")


def test_numbers_rise_and_pages_follow_them(queue):
    numbers = queue.put([entry(f"text {number}") for number in range(10)]).result(10)
    assert numbers == sorted(set(numbers))
    first = queue.items(limit=4)
    rest = queue.items(limit=50, after=first[-1].id)
    assert [item.text for item in [*first, *rest]] == [f"text {number}" for number in range(10)]


def test_many_writers_share_commits_and_each_gets_its_own_numbers(queue):
    futures = [queue.put([entry(f"{number} a"), entry(f"{number} b")]) for number in range(300)]
    for number, future in enumerate(futures):
        texts = [queue.get(one).text for one in future.result(20)]
        assert texts == [f"{number} a", f"{number} b"]


def test_a_decision_is_kept_and_may_be_repeated_but_not_changed(queue):
    (number,) = queue.put([entry("text")]).result(10)
    item = queue.resolve(number, "b", "Ada", "clear case").result(10)
    assert (item.status, item.resolved_label, item.resolved_by) == ("resolved", "b", "Ada")
    assert queue.resolve(number, "b", "Ada", "clear case").result(10) == item
    with pytest.raises(AlreadyResolved, match=r"resolved as 'b' by 'Ada'"):
        queue.resolve(number, "a", "Ben").result(10)
    with pytest.raises(AlreadyResolved, match="with the note 'clear case'"):
        queue.resolve(number, "b", "Ada", "another note").result(10)
    assert queue.get(number).resolved_note == "clear case"
    assert queue.counts() == {"open": 0, "resolved": 1}
    assert [one.id for page in queue.pages("resolved") for one in page] == [number]
    assert queue.items("open") == []


def test_a_refused_decision_leaves_what_shares_its_commit(queue):
    futures = [queue.put([entry("before")]), queue.resolve(999, "a", "Ada"), queue.put([entry("after")])]
    with pytest.raises(NotThere, match="no item 999"):
        futures[1].result(10)
    assert [queue.get(future.result(10)[0]).text for future in (futures[0], futures[2])] == [
        "before",
        "after",
    ]


def test_an_order_that_cannot_be_written_leaves_what_shares_its_commit(queue):
    gate = threading.Event()
    queue._order(gate.wait)  # what follows gathers behind it, and shares a commit
    before, broken, after = (
        queue.put([entry("before")]),
        queue.put([entry("whole"), entry("half \ud800")]),
        queue.put([entry("after")]),
    )
    gate.set()
    with pytest.raises(QueueError, match="surrogates"):
        broken.result(10)
    assert [queue.get(future.result(10)[0]).text for future in (before, after)] == ["before", "after"]
    assert [item.text for item in queue.items()] == ["before", "after"]


def test_an_order_that_nobody_waits_for_any_more_does_not_stop_the_writer(queue):
    gate = threading.Event()
    queue._order(gate.wait)
    assert queue.put([entry("given up")]).cancel()
    gate.set()
    assert queue.put([entry("later")]).result(10)


@pytest.mark.parametrize("number", [5, -1, 2**63, -(10**30)])
def test_an_unknown_number_is_said_to_be_unknown(queue, number):
    with pytest.raises(NotThere, match=f"no item {number}"):
        queue.get(number)
    with pytest.raises(NotThere, match=f"no item {number}"):
        queue.resolve(number, "a", "Ada").result(10)


def test_a_page_after_any_number_is_empty(queue):
    queue.put([entry("text")]).result(10)
    assert queue.items(after=10**30, limit=10**30) == []


def test_closing_writes_what_is_waiting_and_the_next_process_finds_it(tmp_path):
    queue = HumanQueue(tmp_path / "queue.sqlite3")
    futures = [queue.put([entry(f"text {number}")]) for number in range(200)]
    queue.close()
    queue.close()
    assert all(future.done() for future in futures)
    with pytest.raises(QueueError, match="closed"):
        queue.put([entry("late")]).result(10)
    again = HumanQueue(tmp_path / "queue.sqlite3")
    assert again.counts()["open"] == 200
    again.close()


def test_every_resolved_item_is_listed_across_pages(queue):
    for number in queue.put([entry(f"text {number}") for number in range(7)]).result(10):
        queue.resolve(number, "b", "Ada").result(10)
    pages = [[item.text for item in page] for page in queue.pages("resolved", size=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [text for page in pages for text in page] == [f"text {number}" for number in range(7)]


def test_the_file_is_for_its_owner_alone(queue):
    assert stat.S_IMODE(queue.path.stat().st_mode) & 0o077 == 0


def test_a_full_disk_is_told_to_whoever_waits_and_later_writes_work(queue):
    pages = queue._writer.execute("PRAGMA page_count").fetchone()[0]
    queue._writer.execute(f"PRAGMA max_page_count={pages}")
    future = queue.put([entry("x" * 100_000)])
    with pytest.raises(QueueError, match="cannot write"):
        future.result(10)
    queue._writer.execute("PRAGMA max_page_count=100000")
    assert queue.put([entry("small")]).result(10)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, and no database " * 50)
    with pytest.raises(QueueError, match=r"notes\.txt"):
        HumanQueue(path)


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(QueueError, match="nowhere"):
        HumanQueue(tmp_path / "nowhere" / "queue.sqlite3")


def test_a_format_of_another_version_is_refused(tmp_path):
    path = tmp_path / "queue.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(QueueError, match="format 99"):
        HumanQueue(path)


def test_a_database_of_something_else_is_refused_and_stays_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "theirs.sqlite3") as theirs:
        theirs.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(QueueError, match="a database of something else: name another file"):
        HumanQueue(tmp_path / "theirs.sqlite3")
    with sqlite3.connect(tmp_path / "theirs.sqlite3") as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]


def test_a_full_queue_keeps_nothing_new_but_takes_decisions(tmp_path):
    queue = HumanQueue(tmp_path / "queue.sqlite3", most_bytes=60_000)
    given = [queue.put([entry(f"{number} " + "x" * 1000)]) for number in range(200)]
    kept = [future.result(10)[0] for future in given if future.exception(10) is None]
    with pytest.raises(QueueFull, match=r"is full: it holds 60000 bytes. Export .*max_queue_bytes"):
        given[-1].result()
    assert 20 < len(kept) < 100
    assert queue.resolve(kept[0], "b", "Ada").result(10).status == "resolved"
    assert queue.counts() == {"open": len(kept) - 1, "resolved": 1}
    queue.close()
    assert tmp_path.joinpath("queue.sqlite3").stat().st_size < 100_000
