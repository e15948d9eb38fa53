"""The server beside the bare pipeline: throughput, latency, right answers, and the limits of its capacity.

A server process and a client process share this machine's cores. The client is 64 raw connections with
requests written beforehand; it checks every answer against the pipeline's own, after the clock has stopped.
The pipeline's texts per second are measured before and after each run of a case, and the ratio is taken to
their mean. The two cases that are held to a ratio run in five rounds; the one with the median ratio is given.

    python benchmarks/serving.py [--model FOLDER] [--requests 10000] [--clients 64] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import csv
import gzip
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
SERVE = (
    "import json, sys; from formers.serving import serve; "
    "sys.exit(serve(sys.argv[1], **json.loads(sys.argv[2])))"
)
TOLERANCE = 1e-4  # a batch's make-up moves the last digits of a float32 score
PIPELINE_TEXTS = 2000
GATHERED = 32
ROUNDS = 5


# --- the client: a process of its own, as light as it can be
# ------------------------------------------------------


class Connection(asyncio.Protocol):
    """Sends requests one after the other and keeps the raw answers."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.found = bytearray()
        self.need = 0
        self.number = -1
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.next()

    def next(self) -> None:
        """Send the next request, or close."""
        self.number = self.work.take()
        if self.number < 0:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(self.work.requests[self.number])

    def data_received(self, data: bytes) -> None:
        """Gather an answer; its Content-Length says when it is whole."""
        self.found += data
        if not self.need:
            end = self.found.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self.found.lower().index(b"content-length:") + 15
            self.need = end + 4 + int(self.found[at : self.found.index(b"\r\n", at)])
        if len(self.found) >= self.need:
            self.work.finish(self.number, bytes(self.found), time.perf_counter() - self.sent)
            self.found.clear()
            self.need = 0
            self.next()

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection out."""
        self.work.close()


class Work:
    """What is to be asked, and what came back."""

    def __init__(self, requests: list[bytes], clients: int) -> None:
        self.requests = requests
        self.answers: list[bytes] = [b""] * len(requests)
        self.seconds = [0.0] * len(requests)
        self.given = 0
        self.open = clients
        self.done = asyncio.get_running_loop().create_future()

    def take(self) -> int:
        """The number of the next request; -1 when all are out."""
        if self.given == len(self.requests):
            return -1
        self.given += 1
        return self.given - 1

    def finish(self, number: int, answer: bytes, seconds: float) -> None:
        """Keep an answer."""
        self.answers[number], self.seconds[number] = answer, seconds

    def close(self) -> None:
        """One connection has ended."""
        self.open -= 1
        if not self.open:
            self.done.set_result(None)


def request(texts: list[str], single: bool) -> bytes:
    """A whole HTTP request."""
    body = json.dumps({"text": texts[0]} if single else {"texts": texts}).encode()
    head = "POST /classify HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


async def ask(port: int, requests: list[bytes], clients: int) -> tuple[float, Work]:
    """Send all requests over `clients` connections; the seconds that it took."""
    loop = asyncio.get_running_loop()
    work = Work(requests, clients)
    started = time.perf_counter()
    for _ in range(clients):
        await loop.create_connection(lambda: Connection(work), "127.0.0.1", port)
    await work.done
    return time.perf_counter() - started, work


def check(answer: bytes, texts: list[str], single: bool, expected: dict[str, Any]) -> str:
    """What is wrong with an answer; an empty string when nothing is, "status" when it is no 200."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return "status"
    data = json.loads(body)
    results = [data] if single else data["results"]
    if len(results) != len(texts):
        return f"{len(results)} results for {len(texts)} texts"
    for text, result in zip(texts, results, strict=True):
        scores = expected[text]
        if abs(result["score"] - scores[result["label"]]) > TOLERANCE:
            return f"{result} for {text!r}, expected {scores}"
        if result["score"] < max(scores.values()) - 2 * TOLERANCE:
            return f"{result} is not the best label for {text!r}"
    return ""


def client(plan_path: str) -> None:
    """Run a plan that the main process wrote, and print what happened as JSON."""
    plan = json.loads(Path(plan_path).read_text())
    single = plan["single"]
    requests = [request(texts, single) for texts in plan["texts"]]
    seconds, work = asyncio.run(ask(plan["port"], requests, plan["clients"]))
    wrong = [
        fault
        for answer, texts in zip(work.answers, plan["texts"], strict=True)
        if (fault := check(answer, texts, single, plan["expected"]))
    ]
    refused = [answer for answer in work.answers if answer.startswith(b"HTTP/1.1 503")]
    needs_human = sum(answer.count(b'"needs_human":true') for answer in work.answers)
    waits = [
        int(a.lower().split(b"retry-after: ")[1].split(b"\r\n")[0])
        for a in refused
        if b"retry-after: " in a.lower()
    ]
    taken = sorted(
        s for s, a in zip(work.seconds, work.answers, strict=True) if a.startswith(b"HTTP/1.1 200")
    )
    print(
        json.dumps(
            {
                "seconds": seconds,
                "answered": sum(bool(answer) for answer in work.answers),
                "wrong": [fault for fault in wrong if fault != "status"][:3],
                "wrong_count": sum(fault != "status" for fault in wrong),
                "ok": len(taken),
                "refused": len(refused),
                "with_retry_after": len(waits),
                "retry_after": max(waits, default=0),
                "needs_human": needs_human,
                "latency": [taken[min(len(taken) - 1, int(len(taken) * q))] for q in (0.5, 0.95, 0.99)]
                if taken
                else [],
            }
        )
    )


# --- the main process
# ---------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """One case: what the client saw, and the pipeline's texts per second around it."""

    name: str
    texts: int
    seen: dict[str, Any]
    bare: float

    @property
    def rate(self) -> float:
        """Texts per second."""
        return self.texts / self.seen["seconds"]

    @property
    def ratio(self) -> float:
        """The rate, of the bare pipeline's."""
        return self.rate / self.bare

    def row(self) -> list[str]:
        """The line of the table."""
        p50, p95, p99 = (f"{1000 * value:.0f}" for value in self.seen["latency"])
        return [
            self.name,
            f"{self.rate:.0f}",
            f"{self.bare:.0f}",
            f"{self.ratio:.2f}",
            p50,
            p95,
            p99,
            str(self.seen["wrong_count"]),
        ]


class Server:
    """A server process over a model folder."""

    def __init__(self, model: str, folder: Path, **settings: Any) -> None:
        given = {
            "port": 0,
            "queue_path": str(folder / "queue.sqlite3"),
            "log_path": str(folder / "requests.log"),
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, model, json.dumps(given)], stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.process.kill)  # also where this ends by an error
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if " on http://" not in line:
            raise SystemExit("the server did not start")
        self.url = line.split(" on ")[1].split()[0]
        self.port = int(self.url.rsplit(":", 1)[1])
        while not self.ready():
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether it takes requests."""
        try:
            with urllib.request.urlopen(f"{self.url}/health") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        with urllib.request.urlopen(self.url + path) as answer:
            return json.loads(answer.read())

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=120)
        return self.process.returncode


class Bench:
    """The pipeline, what it says of each text, and the cases."""

    def __init__(self, model: str, clients: int, requests: int) -> None:
        from formers import pipeline

        self.model = model
        self.clients = clients
        self.pipe = pipeline("text-classification", model=model)
        with gzip.open(TEXTS, "rt", newline="") as file:
            self.texts = [row["text"] for row in csv.DictReader(file)][: requests + GATHERED * clients]
        self.timed = self.texts[:PIPELINE_TEXTS]
        self.pipe(self.timed[:200])
        self.expected = {
            text: {one["label"]: one["score"] for one in scores}
            for text, scores in zip(self.texts, self.pipe(self.texts, top_k=None), strict=True)
        }
        self.last = self.bare()

    def bare(self) -> float:
        """Texts per second of the pipeline: the median of three runs."""
        rates = []
        for _ in range(3):
            started = time.perf_counter()
            self.pipe(self.timed)
            rates.append(len(self.timed) / (time.perf_counter() - started))
        return statistics.median(rates)

    def groups(self, count: int, size: int, first: int = 0) -> list[list[str]]:
        """`count` groups of `size` texts, going round the data from group `first` on."""
        total = len(self.texts)
        return [
            [self.texts[(number * size + i) % total] for i in range(size)]
            for number in range(first, first + count)
        ]

    def rounds(self, name: str, server: Server, count: int, size: int) -> list[Outcome]:
        """`count` requests in several rounds, the one with the median ratio first."""
        shares = [count // ROUNDS + (number < count % ROUNDS) for number in range(ROUNDS)]
        found = [
            self.case(name, server, share, size, first=sum(shares[:number]))
            for number, share in enumerate(shares)
        ]
        middle = sorted(found, key=lambda outcome: outcome.ratio)[ROUNDS // 2]
        return [middle, *(outcome for outcome in found if outcome is not middle)]

    def case(
        self, name: str, server: Server, count: int, size: int, clients: int | None = None, first: int = 0
    ) -> Outcome:
        """Ask `count` requests of `size` texts, with the bare pipeline measured on both sides."""
        groups = self.groups(count, size, first)
        asked = {text for group in groups for text in group}
        plan = {
            "port": server.port,
            "clients": clients or self.clients,
            "single": size == 1,
            "texts": groups,
            "expected": {text: self.expected[text] for text in asked},
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(plan, file)
            file.flush()
            done = subprocess.run(
                [sys.executable, __file__, "--client", file.name], check=True, capture_output=True, text=True
            )
        before, self.last = self.last, self.bare()
        outcome = Outcome(name, count * size, json.loads(done.stdout), (before + self.last) / 2)
        print(
            f"{name}: {outcome.rate:.0f} texts/s, pipeline {outcome.bare:.0f}; {json.dumps(outcome.seen)}",
            flush=True,
        )
        return outcome


def fresh_model(folder: Path) -> str:
    """all-MiniLM-L6-v2 with a new head of 11 labels: speed does not ask what the head has learnt."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    from formers import AutoModelForSequenceClassification, AutoTokenizer
    from minilm import minilm

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=11)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)
    return str(folder)


def run(bench: Bench, requests: int, folder: Path) -> tuple[list[list[str]], list[str]]:
    """All cases; the table and the sentences below it."""
    notes = []
    (folder / "plain").mkdir()
    server = Server(bench.model, folder / "plain", threshold=0.0, timeout=60.0)
    bench.case("warm-up", server, 500, 1)
    single = bench.rounds(f"1 text a request, {bench.clients} clients", server, requests, 1)
    gathered = bench.rounds(
        f"{GATHERED} texts a request, {bench.clients} clients",
        server,
        ROUNDS * max(bench.clients, requests // GATHERED),
        GATHERED,
    )
    alone = bench.case("1 text a request, 1 client", server, max(200, requests // 20), 1, clients=1)
    status = server.stop()
    cases, asked = [single[0], gathered[0], alone], [*single, *gathered, alone]
    ratios = ", ".join(f"{outcome.ratio:.3f}" for outcome in sorted(gathered, key=lambda one: one.ratio))
    notes.append(
        f"{sum(case.seen['ok'] for case in asked)} requests in these cases, "
        f"{sum(case.seen['wrong_count'] for case in asked)} wrong or mismatched, "
        f"{sum(case.seen['refused'] for case in asked)} refused; exit status {status} on SIGTERM. The ratios "
        f"of the rounds with {GATHERED} texts a request: {ratios}."
    )
    (folder / "queue").mkdir()
    server = Server(bench.model, folder / "queue", threshold=1.0, timeout=60.0)
    queued = bench.case("every answer into the human queue, 1 text", server, requests // 4, 1)
    kept = server.get("/queue")["open"]
    server.process.kill()
    server.process.communicate()
    cases.append(queued)
    notes.append(f"{queued.seen['needs_human']} answers flagged for a person, {kept} kept on the disk.")
    (folder / "small").mkdir()
    server = Server(bench.model, folder / "small", threshold=0.0, max_queued_requests=16)
    flood = bench.case("past capacity (16 requests held at most)", server, requests // 4, 1).seen
    calm = bench.case("after it", server, 200, 1, clients=8).seen
    server.stop()
    notes.append(
        f"Past capacity ({bench.clients} clients that do not wait, 16 requests held at most): {flood['ok']} "
        f"answered, {flood['refused']} refused with 503, {flood['with_retry_after']} of them with "
        f"Retry-After (at most {flood['retry_after']} s), {flood['wrong_count']} wrong; "
        f"after it {calm['ok']} of 200 answered."
    )
    head = ["case", "texts/s", "bare pipeline", "ratio", "p50 ms", "p95 ms", "p99 ms", "wrong"]
    return [head, *(case.row() for case in cases)], notes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder of a text classifier; MiniLM with a fresh head when left out")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(given.client)
        return
    import record

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = Bench(given.model or fresh_model(folder / "model"), given.clients, given.requests)
        table, notes = run(bench, given.requests, folder)
    record.show(table)
    print("\n".join(notes))
    if given.record:
        record.section(
            "Server",
            table,
            command=(
                f"python benchmarks/serving.py --requests {given.requests} --clients {given.clients} --record"
            ),
            notes="\n\n".join(notes),
        )


if __name__ == "__main__":
    main()
