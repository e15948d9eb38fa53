"""What one worker does: it holds a pipeline, and answers blocks of rows into files."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formers.core.jsonfile import finite, plain
from formers.jobs.mapping.folder import Folder
from formers.jobs.mapping.inputs import Bad, Block, rows_of
from formers.training.data.tables import no_text

OWN = ("source", "row", "answer", "error")  # fields of every answer
_REFUSALS = (ValueError, TypeError, OSError)  # what pipelines raise for an input that they do not take


@dataclass(frozen=True)
class Work:
    """What a worker must know.

    Attributes:
        folder: where answers go.
        task: the pipeline's name.
        model: folder or Hub id.
        revision: of a model of the Hub.
        columns: what the pipeline is asked -> column of the row; a single one is asked alone.
        keep: columns that go along into the answers.
        texts: whether the task reads texts.
        options: keywords of `pipeline`.
    """

    folder: str
    task: str
    model: str
    revision: str | None
    columns: dict[str, str]
    keep: tuple[str, ...] = ()
    texts: bool = True
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """What became of a block: rows, those of them with an error, bytes written, seconds."""

    index: int
    rows: int
    errors: int
    bytes: int
    seconds: float


class Answerer:
    """Answers blocks, with a pipeline that is loaded once."""

    def __init__(self, work: Work) -> None:
        from formers import pipeline

        self.work, self._folder, self._answered = work, Folder(Path(work.folder)), False
        self.pipe = pipeline(work.task, model=work.model, revision=work.revision, **work.options)

    def answer(self, block: Block, files: Sequence[str]) -> Receipt | None:
        """Answer a block into its file; None where that is there already.

        Raises:
            MemoryError, RuntimeError: where memory does not suffice for a single row.
            Exception: what the pipeline raised, where it is no refusal and the worker never answered a row:
                then the model is broken, and not the rows.
        """
        if self._folder.block(block.index).exists():
            return None
        began = time.perf_counter()
        rows = rows_of(block, files, {*self.work.columns.values(), *self.work.keep})
        asked = [self._asked(row) for _, _, row in rows]
        places = [place for place, one in enumerate(asked) if not isinstance(one, Bad)]
        answers: dict[int, Any] = dict(zip(places, self._answers([asked[i] for i in places]), strict=True))
        failures = [one for one in answers.values() if isinstance(one, Exception)]
        self._answered = self._answered or len(failures) < len(answers)
        if failures and not self._answered and not isinstance(failures[0], _REFUSALS):
            raise failures[0]
        written = []
        for place, (source, number, row) in enumerate(rows):
            kept = {} if isinstance(row, Bad) else {name: _plain(row.get(name)) for name in self.work.keep}
            written.append(
                {"source": source, "row": number, **kept, **_told(answers.get(place, asked[place]))}
            )
        size = self._folder.write(block, written)
        errors = sum("error" in row for row in written)
        return Receipt(block.index, len(rows), errors, size, time.perf_counter() - began)

    def _asked(self, row: Any) -> Any:
        """What the pipeline is asked about a row."""
        if isinstance(row, Bad):
            return row
        found = {}
        for name, column in self.work.columns.items():
            value = row.get(column)
            if isinstance(value, dict) and value.keys() == {"bytes", "path"}:  # as data sets keep files
                value = value["bytes"] if value["bytes"] is not None else value["path"]
            if wrong := self._wrong(value):
                return Bad(f"the column {column!r} {wrong}")
            found[name] = value
        return found if len(found) > 1 else next(iter(found.values()))

    def _wrong(self, value: Any) -> str | None:
        if value is None or (isinstance(value, (str, bytes, list)) and not value):
            return "is empty"
        if isinstance(value, str):
            return no_text(value) if value.strip() else "is empty"
        plain_text = self.work.texts and not isinstance(value, (list, dict))
        return no_text(value) if plain_text else None

    def _answers(self, items: list[Any]) -> list[Any]:
        """The answers; an exception where the pipeline raised one for that item alone."""
        if not items:
            return []
        try:
            return list(self.pipe(items))
        except Exception as error:  # a row that cannot be answered says why, and stops no other
            if len(items) == 1:
                if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                    raise
                return [error]
        half = len(items) // 2
        return self._answers(items[:half]) + self._answers(items[half:])


def _told(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Bad):
        return {"error": answer.why}
    if isinstance(answer, Exception):
        cause = answer.__cause__  # without the place in the batch, where that was put before it
        why = cause if type(cause) is type(answer) else answer
        return {"error": str(why) or type(why).__name__}
    return {"answer": _plain(answer)}


def _plain(value: Any) -> Any:
    """A value as JSON holds it: pictures as `data:` URLs of PNGs, arrays as lists."""
    return finite(plain(value, _other))


def _other(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "getbands"):
        stream = io.BytesIO()
        value.save(stream, format="PNG")
        return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    return str(value)
