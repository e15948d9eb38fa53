"""What saved models of every task answer to unlabelled rows, one JSON line each."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formers.core.atomic import refuse_unwritable
from formers.core.notices import did_you_mean

_TEXTS = ("text", "source", "document", "article", "dialogue", "sentence")
Row = dict[str, Any]


@dataclass(frozen=True)
class Asking:
    """How a task's pipeline is asked.

    Attributes:
        pipeline: its name.
        columns: what a row must have; a single one is asked alone, and may have other names.
        keywords: of the pipeline.
    """

    pipeline: str
    columns: tuple[str, ...] = ("text",)
    keywords: Row = field(default_factory=dict)


_LABELS = {"top_k": None}
ASKING = {
    "text-classification": Asking("text-classification", keywords=_LABELS),
    "multi-label-classification": Asking("text-classification", keywords=_LABELS),
    "regression": Asking("text-classification", keywords={**_LABELS, "function_to_apply": "none"}),
    "pair-classification": Asking("text-classification", ("text", "text_pair"), _LABELS),
    "token-classification": Asking("token-classification", keywords={"aggregation_strategy": "simple"}),
    "question-answering": Asking("question-answering", ("question", "context")),
    "summarization": Asking("summarization", keywords={"truncation": True}),
    "translation": Asking("translation", keywords={"truncation": True}),
    "text-generation": Asking("text-generation", keywords={"return_full_text": False}),
    "fill-mask": Asking("fill-mask"),
    "sentence-embeddings": Asking("sentence-embeddings"),
    "multiple-choice": Asking("", ("first", "choices")),
}


def asking(task: str) -> Asking:
    """How the pipeline of a task is asked.

    Raises:
        ValueError: for a task that is not known.
    """
    if task not in ASKING:
        near = did_you_mean(task, ASKING)
        raise ValueError(f"--task {task} is not known{near}; known are {', '.join(ASKING)}")
    return ASKING[task]


def rows_of(task: str, file: Path, column: str | None) -> list[Row]:
    """The rows of a table, with what the task asks of each.

    Raises:
        ValueError: for a column that is missing, and for the first row that cannot be asked, by its place.
    """
    from formers.training.data.tables import no_text, placed_rows

    rows, wanted = placed_rows(file), ASKING[task].columns
    if task == "multiple-choice":
        from formers.jobs.choosing import asked

        questions = [asked(row, f"{file}, {place}") for place, row in rows]
        for (place, _), question in zip(rows, questions, strict=True):
            if len(question["choices"]) != len(questions[0]["choices"]):
                raise ValueError(f"{file}, {place}: give all rows as many choices as the first has")
        return questions
    names = dict(zip(wanted, wanted, strict=True))
    if len(wanted) == 1 or column is not None:
        usual = next((name for name in _TEXTS if name in rows[0][1]), wanted[0])
        names[wanted[0]] = column or usual
    found = []
    for place, row in rows:
        for name in names.values():
            if name not in row:
                raise ValueError(f"{file}, {place} has no column {name!r}; it has {list(row)}")
            if wrong := no_text(row[name]) or ("" if row[name].strip() else "is empty"):
                raise ValueError(f"{file}, {place}: the column {name!r} {wrong}")
        found.append({name: row[source] for name, source in names.items()})
    return found


def answered(
    task: str, model: str, blocks: Iterable[Iterable[Row]], progress: bool = False, **options: Any
) -> Iterator[Row]:
    """Each row with its "answer"; a list among `blocks` is answered before the next is asked for.

    Args:
        task: one of `ASKING`.
        model: folder or Hub id.
        blocks: rows, as `rows_of` gives them.
        progress: whether a bar is shown.
        options: keywords of `pipeline`; those that are None are left out.
    """
    asking, given = ASKING[task], {name: value for name, value in options.items() if value is not None}
    if task == "multiple-choice":
        from formers.jobs.choosing import Chooser

        choose = Chooser(model, **given)
        for block in blocks:
            yield from choose(block)
        return
    from formers import pipeline

    pipe = pipeline(asking.pipeline, model=model, **{**asking.keywords, **given})
    for block in blocks:
        waiting: deque[Row] = deque()

        def inputs(block: Iterable[Row] = block, waiting: deque[Row] = waiting) -> Iterator[Any]:
            for row in block:
                waiting.append(row)
                yield row if len(row) > 1 else next(iter(row.values()))

        for answer in pipe(inputs(), progress=progress):
            yield {**waiting.popleft(), "answer": plain(answer)}


def plain(answer: Any) -> Any:
    """An answer as JSON holds it."""
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [plain(value) for value in answer]
    return plain(answer.tolist()) if hasattr(answer, "tolist") else answer


class Lines:
    """A file of JSON lines that grows by whole answers, so that what was stopped can go on.

    Raises:
        ValueError: for another ending than .jsonl, a file that is there already and is not to be gone on
            with, and one whose answers are not those to the first rows.
    """

    def __init__(self, path: Path, rows: list[Row], resume: bool) -> None:
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            raise ValueError(f"answers are JSON lines: name the file {path.stem}.jsonl, not {path.name}")
        refuse_unwritable(path.parent)
        self.path, self.done, self.size = path, 0, 0
        if not path.exists():
            return
        if not resume:
            raise ValueError(f"{path} is there already: --resume goes on with it, or name another file")
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # it was being written when the command was stopped
                    break
                self._check(line, rows)
                self.done, self.size = self.done + 1, self.size + len(line)

    def _check(self, line: bytes, rows: list[Row]) -> None:
        try:
            found = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{self.path}, line {self.done + 1} is no JSON: {error}") from error
        asked = rows[self.done] if self.done < len(rows) else None
        if not isinstance(found, dict) or {k: v for k, v in found.items() if k != "answer"} != asked:
            raise ValueError(
                f"{self.path}, line {self.done + 1} does not answer row {self.done + 1} of the file: it is "
                "of other data, so nothing can go on with it"
            )

    def write(self, answers: Iterable[Row]) -> int:
        """Add answers as they come; returns how many."""
        count = 0
        with self.path.open("ab") as file:
            file.truncate(self.size)
            for row in answers:
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                file.flush()
                count += 1
        return count
