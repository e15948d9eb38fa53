"""A classifier whose answer is a known function of the text, and a server process around it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

LABELS = ["billing", "technical", "other"]


@dataclass
class Words:
    text: str
    length: int
    cut: int = 0


def expected(text):
    """The label and score of `text`: unsure texts get 0.4, all others between 0.8 and 1."""
    code = zlib.crc32(text.encode())
    score = 0.4 if text.startswith("unsure") else 0.8 + (code % 1000) / 5000
    return LABELS[code % 3], score


class FakeClassifier:
    """Words as tokens. Texts steer it: "slow 0.3" computes for so many seconds, "boom" breaks the pass."""

    revision = "fake-1"
    max_length = 64
    labels = LABELS

    def __init__(self):
        self.batches = []

    def prepare(self, texts):
        if any(text.startswith("untokenizable") for text in texts):
            raise ValueError("cannot tokenise this")
        counts = [2 + len(text.split()) for text in texts]
        return [
            Words(text, min(count, self.max_length), max(0, count - self.max_length))
            for text, count in zip(texts, counts, strict=True)
        ]

    def run(self, prepared):
        self.batches.append([item.text for item in prepared])
        for item in prepared:
            if item.text.startswith("slow"):
                time.sleep(float(item.text.split()[1]))
        if any(item.text.startswith("boom") for item in prepared):
            raise RuntimeError("the model broke")
        return [self._ranked(item.text) for item in prepared]

    @staticmethod
    def _ranked(text):
        label, score = expected(text)
        if text.startswith("nan"):
            score = float("nan")
        others = [other for other in LABELS if other != label]
        return [(label, score), (others[0], (1 - score) * 0.6), (others[1], (1 - score) * 0.4)]


class ServerProcess:
    """`serving_fake.py` run as a child; `url` once it is ready."""

    def __init__(self, folder: Path, wait=True, **options):
        self.folder = folder
        self.queue_path = folder / "queue.sqlite3"
        self.log_path = folder / "requests.log"
        given = {"queue_path": str(self.queue_path), "log_path": str(self.log_path), "port": 0, **options}
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.url = ""
        if wait:
            self._wait()

    def _wait(self):
        import httpx

        line = self.process.stdout.readline()
        assert " on http://" in line, line + self.process.stderr.read()
        self.url = line.split(" on ")[1].split()[0]
        for _ in range(500):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError("the server did not get ready")

    def signal(self, number):
        self.process.send_signal(number)

    def finish(self, timeout=30):
        """Wait for the end; the exit status, standard output and standard error."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)


if __name__ == "__main__":
    from formers.serving import serve

    sys.exit(serve(FakeClassifier(), **json.loads(sys.argv[1])))
