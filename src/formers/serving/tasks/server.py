"""The server of any task that a pipeline answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from formers.pipelines.registry import PIPELINE_REGISTRY
from formers.serving.batched import Batched
from formers.serving.limits import Refusal
from formers.serving.settings import Settings
from formers.serving.tasks.asked import Asked, Reader
from formers.serving.tasks.media import png
from formers.serving.tasks.solver import Solver
from formers.serving.tasks.table import ROWS, Row
from formers.serving.telemetry import BatchMetrics
from formers.serving.writing.reply import Served

_BODIES = 8  # largest bodies that may lie in memory at once


class TaskServer(Batched, Served):
    """What the endpoints of a task need.

    Args:
        pipe: the pipeline.
        settings: limits and places.
        name: what requests call the model.

    Raises:
        TypeError: for a pipeline of a task that is not served.
    """

    summary = "A model behind the Hub's Inference API."
    writes = False

    def __init__(self, pipe: Any, settings: Settings, name: str) -> None:
        self.task, self.row = row_of(pipe.task)
        self.solver = Solver(pipe, self.row)
        super().__init__(
            settings, self.solver, BatchMetrics(self.solver.revision, "for the task"), lambda answer: None
        )
        self.pipe, self.name, self.created = pipe, name, int(time.time())
        self.reader = Reader(self.row, pipe, settings)
        self._held = 0

    @property
    def card(self) -> dict[str, Any]:
        """What is told of the model beside its name."""
        return {"task": self.task}

    @property
    def most_bytes(self) -> int:
        """The largest body."""
        return self.settings.max_media_bytes if self.row.media else self.settings.max_body_bytes

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold a body of so many bytes at most.

        Raises:
            Refusal: 503 where too much is held already.
        """
        if self._held and self._held + size > _BODIES * self.most_bytes:
            raise Refusal(503, "at capacity: too many large bodies are being read", self.engine.retry_after())
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    def rehearsals(self) -> list[list[Any]]:
        """One small input, and four together."""
        asked = _sample(self.row, self.reader)
        return [asked.asks, asked.asks * 4]


def row_of(task: str) -> tuple[str, Row]:
    """The task's own name and its row.

    Raises:
        TypeError: for one that is not served.
    """
    name = PIPELINE_REGISTRY.get(task).name
    if name not in ROWS:
        raise TypeError(f"the task {task!r} is not served; those that are: {', '.join(sorted(ROWS))}")
    return name, ROWS[name]


def _sample(row: Row, reader: Reader) -> Asked:
    """A request that any model of the task can answer."""
    from formers.processing.reading import pillow

    squares = np.indices((64, 64)).sum(0) // 8 % 2 * 255
    values: dict[str, Any] = {
        "text": "word",
        "texts": ["word", "words"],
        "picture": png(pillow().fromarray(squares.astype(np.uint8)).convert("RGB")) if row.media else b"",
        "table": {"word": ["one", "two"]},
        "boxes": [["word", [0, 0, 10, 10]]],
    }
    mask = getattr(reader.pipe.tokenizer, "mask_token", None)
    if "targets" in row.parameters and mask:
        values["text"] = f"word {mask}"
    values["sound"] = _silence(reader.rate) if row.media else b""
    takes = row.forms[0].takes
    inputs = values[takes] if isinstance(takes, str) else {name: values[kind] for name, kind in takes.items()}
    needed = {name: ["one", "two"] for name in row.needed}
    if row.settings is not None and reader.pipe.model.can_generate():
        needed["max_new_tokens"] = 2  # type: ignore[assignment]  # a number among labels
    return reader.of_object({"inputs": inputs, "parameters": needed})


def _silence(rate: int) -> bytes:
    """A second of a quiet tone, as a file."""
    from formers.serving.tasks.media import wav

    return wav(np.sin(np.arange(rate) / 20) * 0.1, rate)
