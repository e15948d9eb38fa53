"""The server of any task that a pipeline answers."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from formers.pipelines.registry import PIPELINE_REGISTRY
from formers.processing.reading import pillow
from formers.serving.batched import Batched
from formers.serving.limits import Refusal
from formers.serving.settings import Settings
from formers.serving.tasks.asked import Asked, Reader
from formers.serving.tasks.media import png, wav
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
        unbound = Reader(self.row, self.pipe, Settings())  # limits are for what strangers send
        asked = _sample(self.row, unbound)
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
    pipe, word = reader.pipe, "word"
    mask = getattr(pipe.tokenizer, "mask_token", None)
    if "targets" in row.parameters and mask:
        word = f"word {mask}"
    values: dict[str, Callable[[], Any]] = {
        "text": lambda: word,
        "texts": lambda: ["word", "words"],
        "picture": lambda: png(_checks(0)),
        "film": lambda: _film(int(getattr(pipe.model.config, "num_frames", 1))),
        "sound": lambda: wav(np.sin(np.arange(reader.rate) / 20) * 0.1, reader.rate),
        "table": lambda: {"word": ["one", "two"]},
        "messages": lambda: [{"role": "user", "content": "word"}],
    }
    form = row.forms[0]
    needed = {name: kind for name, kind in form.fields.items() if name not in form.optional}
    inputs = {name: values[kind]() for name, kind in needed.items()}
    parameters: dict[str, Any] = {name: ["one", "two"] for name in row.needed}
    if row.settings is not None and pipe.model.can_generate():
        parameters["max_new_tokens"] = 2
    return reader.of_object({"inputs": inputs.get("", inputs), "parameters": parameters})


def _checks(shift: int) -> Any:
    """A picture of 64 x 64 pixels with squares on it."""
    squares = (np.indices((64, 64)).sum(0) + shift) // 8 % 2 * 255
    return pillow().fromarray(squares.astype(np.uint8)).convert("RGB")


def _film(frames: int) -> bytes:
    """A file of so many frames."""
    first, *others = [_checks(number) for number in range(max(2, frames))]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others)
    return file.getvalue()
