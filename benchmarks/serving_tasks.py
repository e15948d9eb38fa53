"""A server of every task under 32 clients: no answer lost or mixed up, and how long they took.

Tiny random models, those of the tests, so that what is measured is the server around them. Each of 16
different requests is asked alone first; then all clients ask them by turns, over connections that stay, from
a process of their own, and every answer is compared with the one that its request got alone.

    python benchmarks/serving_tasks.py [--requests 2000] [--clients 32] [--only TASK ...] [--record]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import tempfile
import warnings
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import record
from serving import ask

ROOT = Path(__file__).resolve().parent.parent
DIFFERENT = 16
TOLERANCE = 1e-3  # of numbers: what else is in a batch moves the last digits
Body = tuple[str, bytes]  # type, content


def words(n: int, count: int = 4) -> str:
    """A text, another one for each number."""
    return " ".join(f"w{(n * 5 + i * (n + 1)) % 80}" for i in range(count))


def png(n: int) -> bytes:
    """A picture, another one for each number."""
    from PIL import Image

    rng, file = np.random.default_rng(n), io.BytesIO()
    waves = np.sin(np.arange(40)[:, None, None] / (3 + n) + np.arange(50)[None, :, None] / 5)
    drawn = (100 + 60 * waves + rng.integers(0, 60, (40, 50, 3))).clip(0, 255).astype("uint8")
    Image.fromarray(drawn).save(file, "PNG")
    return file.getvalue()


def wav(n: int) -> bytes:
    """Half a second of a tone."""
    file, tone = io.BytesIO(), 0.1 * np.sin(np.arange(8000) / (4 + n))
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes((tone * 32767).astype("<i2").tobytes())
    return file.getvalue()


def packed(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def asked(inputs: Callable[[int], Any], **parameters: Any) -> Callable[[int], Body]:
    """Requests in JSON."""

    def made(n: int) -> Body:
        body = {"inputs": inputs(n), **({"parameters": parameters} if parameters else {})}
        return "application/json", json.dumps(body).encode()

    return made


def file(kind: str, make: Callable[[int], bytes]) -> Callable[[int], Body]:
    """Requests that are a file."""
    return lambda n: (kind, make(n))


SHORT = {"max_new_tokens": 5}
TABLE = {"Name": ["Anna", "Ben"], "Age": ["31", "45"]}
BOXES = [[f"w{i}", [10 * i, 20, 10 * i + 9, 40]] for i in range(9)]
PICTURE, SOUND = file("image/png", png), file("audio/wav", wav)
ASKED: dict[str, Callable[[int], Body]] = {
    "text-classification": asked(words, top_k=2),
    "token-classification": asked(words, aggregation_strategy="none"),
    "question-answering": asked(lambda n: {"question": words(n, 2), "context": words(n + 3, 9)}),
    "table-question-answering": asked(
        lambda n: {"query": f"how old is {['Ben', 'Anna'][n % 2]}", "table": TABLE}
    ),
    "fill-mask": asked(lambda n: f"{words(n)} [MASK] w3", top_k=3),
    "zero-shot-classification": asked(words, candidate_labels=["w3", "w4"], multi_label=True),
    "feature-extraction": asked(words),
    "sentence-similarity": asked(lambda n: {"source_sentence": words(n), "sentences": [words(1), words(2)]}),
    "text-ranking": asked(lambda n: {"query": words(n), "documents": [words(1), words(2)]}),
    "summarization": asked(words, **SHORT),
    "translation": asked(words, **SHORT),
    "text-generation": asked(lambda n: f"the quick brown {words(n)}", do_sample=False, **SHORT),
    "image-classification": PICTURE,
    "image-segmentation": PICTURE,
    "object-detection": asked(lambda n: packed(png(n)), threshold=0.01),
    "depth-estimation": PICTURE,
    "image-to-image": PICTURE,
    "image-to-text": PICTURE,
    "visual-question-answering": asked(lambda n: {"image": packed(png(n)), "question": words(n, 2)}, top_k=2),
    "document-question-answering": asked(
        lambda n: {"image": packed(png(n)), "question": words(n, 2), "word_boxes": BOXES}
    ),
    "zero-shot-image-classification": asked(lambda n: packed(png(n)), candidate_labels=["a cat", "dogs"]),
    "automatic-speech-recognition": SOUND,
    "audio-classification": SOUND,
    "text-to-speech": asked(lambda n: "kick the cat " * (1 + n % 4)),
}


def request(body: Body) -> bytes:
    """A whole HTTP request."""
    kind, content = body
    head = (
        f"POST / HTTP/1.1\r\nHost: server\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def near(found: Any, wanted: Any) -> bool:
    """Whether two answers are the same one, numbers within the tolerance."""
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and found.keys() == wanted.keys()
            and all(near(found[k], wanted[k]) for k in wanted)
        )
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(found) == len(wanted)
        return same and all(near(a, b) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, float | int) and isinstance(found, float | int):
        return abs(found - wanted) <= TOLERANCE * max(1.0, abs(wanted))
    return bool(found == wanted)


def read(answer: bytes) -> tuple[bool, Any]:
    """Whether a request was answered, and with what; files by their bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    kind = b"content-type: application/json" in head.lower()
    return head.startswith(b"HTTP/1.1 200"), json.loads(body) if kind and body else body


def client(plan_path: str) -> None:
    """Ask what the plan says, and print what happened as JSON."""
    plan = json.loads(Path(plan_path).read_text())
    different = [base64.b64decode(one) for one in plan["requests"]]
    _, alone = asyncio.run(ask(plan["port"], different, 1))
    wanted = [read(one) for one in alone.answers]
    if refused := [answer for good, answer in wanted if not good]:
        raise SystemExit(f"asked alone: {refused[0]!r}")
    requests = [different[n % len(different)] for n in range(plan["count"])]
    seconds, work = asyncio.run(ask(plan["port"], requests, plan["clients"]))
    counts, seen = {"lost": 0, "mixed": 0, "off": 0}, []
    for n, answer in enumerate(work.answers):
        good, found = read(answer)
        if not good:
            counts["lost"] += 1
        elif not near(found, wanted[n % len(different)][1]):
            another = any(near(found, other) for _, other in wanted)
            counts["mixed" if another else "off"] += 1
        else:
            continue
        seen.append([str(wanted[n % len(different)][1])[:200], str(found)[:200]])
    told = len({str(answer) for _, answer in wanted})
    taken = sorted(work.seconds)
    latency = [1e3 * taken[min(len(taken) - 1, int(len(taken) * q))] for q in (0.5, 0.95)]
    print(json.dumps({"seconds": seconds, "latency": latency, "told": told, "seen": seen[:2], **counts}))


def measured(task: str, folder: Path, count: int, clients: int) -> list[str]:
    """A row of the table.

    Raises:
        SystemExit: where the server does not start, or refuses a request.
    """
    import formers
    from formers.serving import running
    from system import task_zoo

    saved = task_zoo.build(task, folder)
    if task == "text-to-speech":  # which draws from noise otherwise
        config = json.loads((saved / "config.json").read_text())
        (saved / "config.json").write_text(
            json.dumps({**config, "noise_scale": 0.0, "noise_scale_duration": 0.0})
        )
    pipe = formers.pipeline(task, model=str(saved), device="cpu")
    requests = [packed(request(ASKED[task](n))) for n in range(DIFFERENT)]
    with running(pipe, task=task, log_path=folder / "log") as url:
        plan = {"port": int(url.rsplit(":", 1)[1]), "requests": requests, "count": count, "clients": clients}
        path = folder / "plan.json"
        path.write_text(json.dumps(plan))
        command = [sys.executable, __file__, "--client", str(path)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    found = json.loads(told.stdout)
    for wanted, got in found["seen"]:
        print(f"{task}: wanted {wanted}\n{task}: found  {got}", flush=True)
    p50, p95 = found["latency"]
    counts = [str(found[name]) for name in ("lost", "mixed", "off", "told")]
    return [task, f"{count / found['seconds']:.0f}", f"{p50:.0f}", f"{p95:.0f}", *counts]


def main() -> None:
    """Measure all tasks and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--only", nargs="*", default=list(ASKED))
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.client)
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "examples")]
    warnings.simplefilter("ignore")
    table = [["task", "requests/s", "p50 ms", "p95 ms", "lost", "mixed", "off", "answers told apart"]]
    for task in options.only:
        with tempfile.TemporaryDirectory() as folder:
            try:
                table.append(measured(task, Path(folder), options.requests, options.clients))
            except Exception as error:  # noqa: BLE001 - a row says what went wrong, of whatever kind
                table.append([task, f"failed: {type(error).__name__}: {error}"[:200], *["-"] * 6])
        print(*table[-1], sep="  ", flush=True)
    record.show(table)
    if options.record:
        command = f"python benchmarks/serving_tasks.py --requests {options.requests} --record"
        notes = (
            f"{options.clients} clients on connections that stay, {DIFFERENT} requests a task by turns."
            " *mixed*: another request's answer; *off*: an answer that none of them got alone."
        )
        record.section("Server of every task", table, command=command, notes=notes)


if __name__ == "__main__":
    main()
