"""Golden files: fixed texts with the answers that a release gave, to compare the next one with."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from formers.core.atomic import refuse_unwritable, write_text
from formers.core.environment import deciding_versions
from formers.core.jsonfile import parse_json

FORMAT = "formers-golden"
VERSION = 1
TOLERANCE = 1e-3
Predict = Callable[[list[str]], Sequence[Any]]
Answer = tuple[dict[str, float], bool]  # scores by label, best first; whether the best label came alone


def _answers(predict: Predict, texts: list[str]) -> list[Answer]:
    """Answers to texts: each a dict (the best label alone), or the list of dicts that `top_k` gives."""
    results = list(predict(texts))
    if len(results) != len(texts):
        raise ValueError(f"{len(texts)} texts were given, {len(results)} answers came back")
    answers = []
    for result, text in zip(results, texts, strict=True):
        said = f"the answer to {text[:60]!r}"
        try:
            rows = [result] if isinstance(result, dict) else list(result)
            scores = {str(row["label"]): float(row["score"]) for row in rows}
        except (TypeError, KeyError, ValueError) as error:
            wanted = "{'label': ..., 'score': ...} or a list of such"
            raise ValueError(f"{said} must be {wanted}, got {result!r}") from error
        if not scores or not all(map(math.isfinite, scores.values())):
            raise ValueError(f"{said} has no label or a score that is no number: {result!r}")
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        answers.append((dict(ranked), isinstance(result, dict)))
    return answers


def refuse_other_file(path: str | Path) -> None:
    """Refuse to record where nothing can be written, or over a file that is no golden file.

    Raises:
        OSError: when nothing can be written there.
        ValueError: when a file of another kind is there.
    """
    file = Path(path)
    refuse_unwritable(file.parent)
    if file.exists() and FORMAT.encode() not in file.read_bytes()[:1000]:
        raise ValueError(f"{file} is no golden file, and would be replaced: move it away, or name another")


def record(
    predict: Predict,
    texts: Iterable[str],
    path: str | Path,
    tolerance: float = TOLERANCE,
    *,
    model: str | None = None,
    revision: str | None = None,
) -> Path:
    """Write a golden file: one JSON line about the run, then one line for each text.

    Args:
        predict: texts -> answers, such as a text-classification pipeline (with or without `top_k`).
        texts: the fixed inputs.
        path: the file, written atomically.
        tolerance: how far a score may move before `check` says so.
        model: name of the model, for the record.
        revision: its revision, for the record.

    Raises:
        ValueError: for no texts, a negative tolerance, or answers that are none.
    """
    refuse_other_file(path)
    fixed = list(texts)
    if not fixed:
        raise ValueError("there are no texts to record")
    for index, text in enumerate(fixed):
        if not isinstance(text, str):
            raise ValueError(f"text {index} is a {type(text).__name__}, not a string")
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a number of at least 0, got {tolerance!r}")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": model,
        "revision": revision,
        "tolerance": tolerance,
        "count": len(fixed),
        "versions": deciding_versions(),
    }
    lines = [header]
    for text, (scores, _) in zip(fixed, _answers(predict, fixed), strict=True):
        label = next(iter(scores))
        lines.append({"text": text, "label": label, "score": scores[label], "scores": scores})
    body = "\n".join(json.dumps(line, ensure_ascii=False, allow_nan=False) for line in lines)
    return write_text(path, body + "\n")


@dataclasses.dataclass(frozen=True)
class Change:
    """One text whose answer is not the recorded one.

    Attributes:
        kind: "label" (another label is best), "score" (a score moved too far), or "missing" (a recorded
            label is no longer among the answers, so its score cannot be compared).
        text: the input.
        expected: label and score that were recorded.
        found: label and score now; None when missing.
        difference: how far the score moved.
    """

    kind: str
    text: str
    expected: tuple[str, float]
    found: tuple[str, float] | None
    difference: float = 0.0

    def __str__(self) -> str:
        then = f"{self.expected[0]} {self.expected[1]:.4f}"
        now = "nothing" if self.found is None else f"{self.found[0]} {self.found[1]:.4f}"
        text = self.text if len(self.text) <= 70 else self.text[:67] + "..."
        return f"{self.kind:<7} {then} -> {now}   {text!r}"


@dataclasses.dataclass(frozen=True)
class GoldenReport:
    """What a comparison with a golden file found.

    Attributes:
        path: the golden file.
        total: number of texts compared.
        tolerance: how far a score could move.
        largest: the largest move of any score.
        changes: the texts whose answers changed.
        recorded: the file's header: model, revision, versions.
        now: versions of this run.
    """

    path: str
    total: int
    tolerance: float
    largest: float
    changes: tuple[Change, ...]
    recorded: dict[str, Any]
    now: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether every answer is the recorded one, within the tolerance."""
        return not self.changes

    @property
    def exit_status(self) -> int:
        """0 when all is as recorded, else 1."""
        return 0 if self.ok else 1

    @property
    def other_versions(self) -> dict[str, tuple[str | None, str | None]]:
        """Packages whose release differs: then and now."""
        then = self.recorded.get("versions", {})
        return {
            name: (then.get(name), self.now.get(name))
            for name in sorted({*then, *self.now})
            if then.get(name) != self.now.get(name)
        }

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {"ok": self.ok, **dataclasses.asdict(self), "other_versions": self.other_versions}

    def __str__(self) -> str:
        head = (
            f"{self.path}: {self.total - len(self.changes)} of {self.total} answers as recorded "
            f"(largest move of a score {self.largest:.2e}, tolerance {self.tolerance:g})"
        )
        moved = [f"  {name}: {then} -> {now}" for name, (then, now) in self.other_versions.items()]
        lines = [head, *(str(change) for change in self.changes)]
        if self.changes and moved:
            lines += ["versions that differ from the recording:", *moved]
        return "\n".join(lines)


def read(path: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and lines of a golden file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is empty, of another format, cut short, or a line is broken.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no golden file at {file}: write one with `formers golden record`")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error}): it is no golden file") from error
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty: write it again with `formers golden record`")
    parsed = [_line(file, number, line) for number, line in enumerate(lines, start=1)]
    header, rows = parsed[0], parsed[1:]
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise ValueError(
            f"{file} is not a golden file of version {VERSION}: its first line must hold "
            f'"format": "{FORMAT}" and "version": {VERSION}'
        )
    tolerance, versions = header.get("tolerance", TOLERANCE), header.get("versions", {})
    if not _is_number(tolerance) or tolerance < 0:
        raise ValueError(f"{file}, line 1: 'tolerance' must be a number of at least 0, found {tolerance!r}")
    if not isinstance(versions, dict):
        raise ValueError(f"{file}, line 1: 'versions' must be an object, found {versions!r}")
    for number, row in enumerate(rows, start=2):
        _check_row(f"{file}, line {number}", row)
    if not rows or len(rows) != header.get("count", len(rows)):
        raise ValueError(
            f"{file} announces {header.get('count')} texts but holds {len(rows)}: it was cut short"
        )
    return header, rows


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _check_row(where: str, row: dict[str, Any]) -> None:
    """Refuse a line that does not hold a text, its label, and scores that can be compared."""
    if not {"text", "label", "score"} <= row.keys():
        raise ValueError(f"{where}: expected 'text', 'label' and 'score', found {sorted(row)}")
    for key in ("text", "label"):
        if not isinstance(row[key], str):
            raise ValueError(f"{where}: {key!r} must be a string, found {row[key]!r}")
    label, score = row["label"], row["score"]
    scores = row.get("scores", {label: score})
    if not isinstance(scores, dict):
        raise ValueError(f"{where}: 'scores' must be an object of scores by label, found {scores!r}")
    for name, value in [("score", score), *scores.items()]:
        if not _is_number(value):
            raise ValueError(f"{where}: the score of {name!r} must be a finite number, found {value!r}")
    if not math.isclose(scores.get(label, math.inf), score, rel_tol=0, abs_tol=1e-9):
        raise ValueError(
            f"{where}: 'score' says {score!r} for {label!r} and 'scores' says {scores.get(label)!r}: "
            "write the file again with `formers golden record`"
        )


def _line(file: Path, number: int, line: str) -> dict[str, Any]:
    value = parse_json(line, f"{file}, line {number}", data=True)
    if not isinstance(value, dict):
        raise ValueError(f"{file}, line {number} must be a JSON object, found {type(value).__name__}")
    return value


def check(predict: Predict, path: str | Path, *, tolerance: float | None = None) -> GoldenReport:
    """Answer the texts of a golden file again and compare.

    Args:
        predict: texts -> answers, as for `record`.
        path: the golden file.
        tolerance: in place of the one in the file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is broken or an answer is none.
    """
    header, rows = read(path)
    limit = float(header.get("tolerance", TOLERANCE)) if tolerance is None else tolerance
    if not 0 <= limit < math.inf:
        raise ValueError(f"tolerance must be a number of at least 0, got {limit!r}")
    answers = _answers(predict, [row["text"] for row in rows])
    changes: list[Change] = []
    largest = 0.0
    for row, answer in zip(rows, answers, strict=True):
        change, moved = _compare(row, answer, limit)
        largest = max(largest, moved)
        if change is not None:
            changes.append(change)
    return GoldenReport(str(path), len(rows), limit, largest, tuple(changes), header, deciding_versions())


def _compare(row: dict[str, Any], answer: Answer, limit: float) -> tuple[Change | None, float]:
    """The gravest change of one text, and the largest move of a score that both sides have."""
    label, (scores, alone) = row["label"], answer
    expected = {name: float(score) for name, score in row.get("scores", {label: row["score"]}).items()}
    both = {name: abs(scores[name] - score) for name, score in expected.items() if name in scores}
    largest = max(both.values(), default=0.0)
    best = next(iter(scores))
    if best != label:
        return Change("label", row["text"], (label, row["score"]), (best, scores[best]), largest), largest
    if not alone and len(both) < len(expected):
        lost = next(name for name in expected if name not in scores)
        return Change("missing", row["text"], (lost, expected[lost]), None), largest
    if largest > limit:
        worst = max(both, key=lambda name: both[name])
        return Change(
            "score", row["text"], (worst, expected[worst]), (worst, scores[worst]), largest
        ), largest
    return None, largest
