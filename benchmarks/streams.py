"""Many streamed texts at once: is each what `generate` writes, does memory grow, do ended ones leave.

A server process writes for a client process that holds hundreds of streams of `/v1/completions` open. Every
text is compared with the greedy text of the same model alone. Then streams are broken off, the server is
told to stop while it writes, and another one is asked for more than it holds.

    python benchmarks/streams.py [--clients 256] [--seconds 300] [--cancelled 1000] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import gzip
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import TEXTS, Server

LENGTHS = (16, 24, 32, 48, 64, 96)  # new tokens of a text
PROMPTS = 48
HELD = ("waiting_requests", "waiting_texts", "running_texts")


def make(folder: Path) -> list[tuple[str, int, str]]:
    """Write a small decoder into `folder`; return prompts, lengths, and what it goes on with."""
    import torch
    from tokenizers import ByteLevelBPETokenizer

    import formers

    with gzip.open(TEXTS, "rt", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:4000]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=4000, special_tokens=["<s>", "</s>"])
    tokenizer = formers.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(0)
    config = formers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        initializer_range=0.3,  # wide, so that no two tokens are nearly as likely
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    model = formers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    asked = []
    for number, text in enumerate(texts[:PROMPTS]):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)["input_ids"]
        count = LENGTHS[number % len(LENGTHS)]
        found = model.generate(ids, max_new_tokens=count, do_sample=False)[0, ids.shape[1] :]
        prompt = tokenizer.decode(ids[0], skip_special_tokens=True)
        asked.append((prompt, count, tokenizer.decode(found, skip_special_tokens=True)))
    return asked


@dataclass
class Seen:
    """What the clients saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    tokens: int = 0

    @property
    def right(self) -> int:
        """Texts that came whole and are what the model writes alone."""
        return self.outcomes["right"]

    @property
    def others(self) -> dict[str, int]:
        """The outcomes that are not right."""
        return {name: count for name, count in self.outcomes.items() if name != "right"}


async def open_stream(port: int, prompt: str, count: int) -> tuple[Any, Any, int]:
    """Ask for a stream; its reader, its writer and the status."""
    body = json.dumps(
        {
            "model": "model",
            "prompt": prompt,
            "max_tokens": count,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: formers\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    status = await reader.readline()
    while (await reader.readline()).strip():
        pass
    return reader, writer, int(status.split()[1]) if status else 0


async def events(reader: Any) -> Any:
    """The events of a stream, as they come."""
    async for line in reader:
        if line.startswith(b"data: "):
            yield line[6:].strip()


async def one(port: int, asked: tuple[str, int, str], seen: Seen) -> None:
    """Read one stream to its end and judge it."""
    prompt, count, wanted = asked
    begun, text, usage, ended, times = time.perf_counter(), "", None, False, []
    try:
        reader, writer, status = await open_stream(port, prompt, count)
    except OSError:
        seen.outcomes["no connection"] += 1
        return
    with contextlib.closing(writer):
        if status != 200:
            seen.outcomes[str(status)] += 1
            return
        async for event in events(reader):
            if event == b"[DONE]":
                ended = True
                continue
            told = json.loads(event)
            usage = told.get("usage") or usage
            for choice in told.get("choices", ()):
                text += choice["text"]
                times.append(time.perf_counter())
    if not ended:
        seen.outcomes["cut off"] += 1
    elif text != wanted:
        seen.outcomes["another text"] += 1
    elif usage is None or usage["completion_tokens"] > count:
        seen.outcomes["wrong count"] += 1
    else:
        seen.outcomes["right"] += 1
        seen.tokens += usage["completion_tokens"]
        seen.first.append(times[0] - begun)
        if len(times) > 1:
            seen.between.append((times[-1] - times[0]) / (len(times) - 1))


async def flood(port: int, asked: list[Any], clients: int, seconds: float, seen: Seen) -> None:
    """`clients` streams at any time, for `seconds`; those that are open then are read to their end."""
    end, turn = time.perf_counter() + seconds, iter(range(sys.maxsize))

    async def client() -> None:
        while time.perf_counter() < end:
            await one(port, asked[next(turn) % len(asked)], seen)

    await asyncio.gather(*(client() for _ in range(clients)))


async def break_off(port: int, asked: list[Any], total: int, at_once: int = 64) -> int:
    """Open `total` streams and close each after its first event; how many began."""
    turn, begun = iter(range(total)), 0

    async def client() -> None:
        nonlocal begun
        for number in turn:
            reader, writer, status = await open_stream(port, asked[number % len(asked)][0], 256)
            with contextlib.closing(writer):
                if status == 200:
                    await anext(events(reader))
                    begun += 1

    await asyncio.gather(*(client() for _ in range(at_once)))
    return begun


def resident(pid: int) -> float:
    """MiB of a process that lie in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the server is gone")


def held(server: Server) -> float:
    """Requests and texts that the server still holds, by its metrics."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return sum(float(values[f"formers_{name}"]) for name in HELD)


async def stop_while_writing(server: Server, asked: list[Any], clients: int) -> tuple[Seen, int]:
    """SIGTERM while `clients` streams are open."""
    seen = Seen()
    open_ones = [
        asyncio.create_task(one(server.port, asked[number % len(asked)], seen)) for number in range(clients)
    ]
    await asyncio.sleep(1.0)
    status = await asyncio.to_thread(server.stop)
    await asyncio.gather(*open_ones)
    return seen, status


def milliseconds(values: list[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(values)
    return f"{1000 * statistics.median(ordered):.0f} / {1000 * ordered[int(0.95 * len(ordered))]:.0f}"


def run(folder: Path, clients: int, seconds: float, cancelled: int) -> tuple[list[list[str]], list[str]]:
    """All cases; the table and the sentences below it."""
    model = folder / "model"
    asked = make(model)
    server = Server(str(model), folder, timeout=120.0, max_queued_requests=2 * clients)
    asyncio.run(flood(server.port, asked, clients, seconds / 10, Seen()))  # all that is made once is there
    before, seen = resident(server.process.pid), Seen()
    started = time.perf_counter()
    asyncio.run(flood(server.port, asked, clients, seconds, seen))
    took = time.perf_counter() - started
    after = resident(server.process.pid)
    table = [
        ["case", "right", "others", "tokens/s", "first token, ms (p50 / p95)", "per token, ms (p50 / p95)"],
        [
            f"{clients} streams for {took:.0f} s",
            str(seen.right),
            str(seen.others or "none"),
            f"{seen.tokens / took:.0f}",
            milliseconds(seen.first),
            milliseconds(seen.between),
        ],
    ]
    notes = [f"Memory of the server: {before:.0f} MiB before them, {after:.0f} MiB after."]
    begun = asyncio.run(break_off(server.port, asked, cancelled))
    end = time.perf_counter() + 30
    while held(server) and time.perf_counter() < end:
        time.sleep(0.1)
    calm = Seen()
    asyncio.run(flood(server.port, asked, 8, 5, calm))
    notes.append(
        f"{begun} of {cancelled} streams broken off after their first token: {held(server):.0f} requests and "
        f"texts held after them, {resident(server.process.pid):.0f} MiB; then {calm.right} right, others: "
        f"{calm.others or 'none'}."
    )
    last, status = asyncio.run(stop_while_writing(server, asked, 64))
    notes.append(
        f"SIGTERM while 64 were written: {last.right} right, others: {last.others or 'none'}, "
        f"exit status {status}."
    )
    server = Server(str(model), folder, timeout=120.0, max_queued_requests=32)
    past, calm = Seen(), Seen()
    asyncio.run(flood(server.port, asked, clients, 10, past))
    asyncio.run(flood(server.port, asked, 8, 5, calm))
    server.stop()
    notes.append(
        f"{clients} clients where 32 requests are held at most: {past.right} right, others: {past.others}; "
        f"after them {calm.right} right, others: {calm.others or 'none'}."
    )
    return table, notes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--cancelled", type=int, default=1000)
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    given = parser.parse_args()
    import record

    with tempfile.TemporaryDirectory() as temporary:
        table, notes = run(Path(temporary), given.clients, given.seconds, given.cancelled)
    record.show(table)
    print("\n".join(notes))
    if given.record:
        record.section(
            "Streams",
            table,
            command=(
                f"python benchmarks/streams.py --clients {given.clients} --seconds {given.seconds:.0f} "
                f"--cancelled {given.cancelled} --record"
            ),
            notes="\n\n".join(notes),
        )


if __name__ == "__main__":
    main()
