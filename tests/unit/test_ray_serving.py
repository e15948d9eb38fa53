"""Replicas behind their front, without a cluster: `benchmarks/ray_serving.py` has one, and kills there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from formers.core.cluster import connected
from formers.serving import Settings
from formers.serving.ray_serve import ATTEMPTS, Front, Pages, Replica, Replicas
from system.serving_fake import FakeClassifier, expected


class Died(Exception):
    """What stands for the death of a replica."""


class Away(Exception):
    """What stands for no replica."""


def remote(call: Callable[..., Any]) -> Any:
    """A method as handles have it."""

    async def answered(*given: Any) -> Any:
        return call(*given)

    return SimpleNamespace(remote=answered)


class Handle:
    """The handle of replicas that take turns; the first of `ends` says what becomes of the next request.

    An end is the number of parts after which the replica dies, or an exception.
    """

    def __init__(self, replicas: list[Any], ends: list[Any]) -> None:
        self.replicas, self.ends, self.asked = replicas, ends, 0
        self.answer = SimpleNamespace(remote=self._answer)

    async def _answer(self, scope: dict[str, Any], body: bytes) -> AsyncIterator[Any]:
        self.asked += 1
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, Exception):
            raise end
        async for part in self.replicas[self.asked % len(self.replicas)].answer(scope, body):
            if end == 0:
                raise Died
            yield part
            end = None if end is None else end - 1
        if end is not None:
            raise Died


class Streams:
    """A replica that sends events."""

    async def answer(self, scope: dict[str, Any], body: bytes) -> AsyncIterator[Any]:
        yield 200, [(b"content-type", b"text/event-stream")]
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"


@asynccontextmanager
async def behind(replicas: list[Any], ends: list[Any], pages: Pages) -> AsyncIterator[Any]:
    """A client of a front, and the handle."""
    handle, told = Handle(replicas, ends), SimpleNamespace(told=remote(pages.told))
    front = Front(handle, told, Settings(max_body_bytes=2000, max_media_bytes=2000), (Died,), (Away,))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await front(Request(scope, receive)))(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
        yield client, handle


def test_a_request_lives_through_the_death_of_replicas_and_one_page_has_them_all(tmp_path: Path) -> None:
    pages, texts = Pages(), ["help", "the screen", "the parcel"]
    told = SimpleNamespace(put=remote(pages.put), forget=remote(pages.forget))
    settings = Settings(queue_path=tmp_path / "queue", log_path=tmp_path / "log", threshold=0.0)

    async def story() -> None:
        replicas = [Replica(FakeClassifier(), None, settings, None, told, name) for name in ("a", "b")]
        for one in replicas:
            await one.begin()
        async with behind(replicas, [Died(), 0, 1], pages) as (client, handle):
            for text in texts:
                answer = await client.post("/classify", json={"text": text})
                assert (answer.status_code, answer.json()["label"]) == (200, expected(text)[0])
                assert answer.headers["x-replica"] in "ab"
            assert handle.asked == len(texts) + 3
            assert (await client.get("/health")).json()["ready"]
            assert (await client.post("/classify", content=b"x" * 3000)).status_code == 413
            await asyncio.gather(*(one.tell() for one in replicas))
            page = (await client.get("/metrics")).text.splitlines()
        counts = [line.split()[-1] for line in page if line.startswith('formers_requests_total{replica="')]
        assert sum(map(float, counts)) == len(texts) + 2  # two died when they had answered
        assert {"formers_requests_again_total 3.0", "formers_replicas 2.0"} <= {*page}
        for one in replicas:
            await one.end()

    asyncio.run(story())
    assert pages.told() == []


def test_what_may_not_be_asked_again_is_not() -> None:
    async def story() -> None:
        async with behind([Streams()], [Died()] * 2 * ATTEMPTS, Pages()) as (client, handle):
            for path, times in (("/queue/1/resolve", 1), ("/classify", ATTEMPTS)):
                before = handle.asked
                answer = await client.post(path)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert handle.asked - before == times
        async with behind([Streams()], [Away("full"), Died(), 2], Pages()) as (client, handle):
            said = (await client.post("/v1/completions")).json()["error"]  # in the form of that API
            assert "full" in said["message"]
            assert said["type"] == "server_error"
            with pytest.raises(Died):  # a part was sent
                await client.post("/v1/completions")
            assert handle.asked == 3
            assert (await client.post("/v1/completions")).text == "data: 1\n\ndata: 2\n\n"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"), ("somewhere", "host:port")],
)
def test_an_address_of_no_cluster_is_refused_at_once(address: str, said: str) -> None:
    alone = SimpleNamespace(is_initialized=lambda: False)  # what would connect is never called
    with pytest.raises((ConnectionError, ValueError), match=said), connected(alone, address):
        pass


def test_a_replica_that_tells_nothing_any_more_is_dead() -> None:
    now = [0.0]
    pages = Pages(lambda: now[0])
    for name in "ab":
        pages.put(name, [])
    now[0] = 4.0
    pages.put("b", [])
    now[0] = 8.0
    assert pages.told() == [("b", [])]


def test_an_engine_that_died_is_no_health(tmp_path: Path) -> None:
    settings = Settings(queue_path=tmp_path / "queue", log_path=tmp_path / "log")
    replica = Replica(FakeClassifier(), None, settings, None, None, "a")
    replica.check_health()
    replica.service.state = "failed"
    with pytest.raises(Exception, match="failed"):
        replica.check_health()
    with pytest.raises(ValueError, match="below min_replicas"):
        Replicas(min_replicas=2)
