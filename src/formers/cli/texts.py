"""Where a command's texts come from: its arguments, a file, or standard input."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from formers.notices import did_you_mean

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".gz")


def given(texts: Sequence[str] | None, file: Path | None, column: str) -> Iterator[str]:
    """The texts of the arguments, else of `file`, else of standard input (one a line).

    Raises:
        ValueError: for texts and a file at once, none at all, or a file that holds none.
    """
    if texts and file is not None:
        raise ValueError("give texts as arguments or with --file, not both")
    if texts:
        yield from texts
        return
    if file is None and sys.stdin.isatty():
        raise ValueError("there is no text: give it as an argument, with --file, or on standard input")
    found = 0
    for found, text in enumerate(_lines(sys.stdin) if file is None else read(file, column), start=1):  # noqa: B007
        yield text
    if not found:
        raise ValueError(f"{'standard input' if file is None else file} holds no text")


def read(file: Path, column: str) -> Iterator[str]:
    """The texts of a file, as it is read: the column of a table, or each line of any other file.

    Tables are CSV, TSV (with a head line), JSON (a list of objects) and JSON lines, plain or gzip-compressed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a row has no such column.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}" + (": it is a folder" if file.is_dir() else ""))
    kinds = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    with _open(file) as stream:
        if kind in (".csv", ".tsv"):
            yield from _column(
                csv.DictReader(stream, delimiter="\t" if kind == ".tsv" else ","), column, file
            )
        elif kind in (".jsonl", ".ndjson"):
            yield from _column((json.loads(line) for line in stream if line.strip()), column, file)
        elif kind == ".json":
            rows = json.load(stream)
            yield from _column(
                rows["data"] if isinstance(rows, dict) and "data" in rows else rows, column, file
            )
        else:
            yield from _lines(stream)


def _open(file: Path) -> IO[str]:
    import gzip

    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _lines(stream: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in stream if line.strip())


def _column(rows: Iterable[object], column: str, file: Path) -> Iterator[str]:
    for number, row in enumerate(rows, start=1):
        if isinstance(row, str):
            yield row
            continue
        if not isinstance(row, dict):
            raise ValueError(f"{file}, row {number}: expected an object with {column!r}, found {row!r:.60}")
        if column not in row:
            names = [str(name) for name in row]
            raise ValueError(f"{file} has no column {column!r}{did_you_mean(column, names)}; it has {names}")
        if not isinstance(row[column], str):
            raise ValueError(f"{file}, row {number}: {column!r} must be text, found {row[column]!r:.60}")
        yield row[column]
