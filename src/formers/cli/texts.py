"""Where a command's texts come from: its arguments, a file, or standard input."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")


def given(texts: Sequence[str] | None, file: Path | None, column: str) -> Iterator[str]:
    """The texts of the arguments, else of `file`, else of standard input (one a line, as they come).

    The first is read at once, so that a wrong path is reported before a model is loaded.

    Raises:
        ValueError: for texts and a file at once, none at all, or a file that holds none.
    """
    if texts and file is not None:
        raise ValueError("give texts as arguments or with --file, not both")
    if not texts and file is None and sys.stdin.isatty():
        raise ValueError("there is no text: give it as an argument, with --file, or on standard input")
    source = iter(texts) if texts else _lines(sys.stdin) if file is None else read(file, column)
    first = next(source, None)
    if first is None:
        raise ValueError(f"{file or 'standard input'} holds no text")
    return itertools.chain([first], source)


def read(file: Path, column: str) -> Iterator[str]:
    """The column of a table (see `formers.training.data.load_table`), or each line of any other file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the table has no such column.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}" + (": it is a folder" if file.is_dir() else ""))
    if any(suffix.lower() in _TABLES for suffix in file.suffixes[-2:]):
        from formers.training.data import load_table

        yield from (row["text"] for row in load_table(file, text_column=column))
    else:
        with file.open(encoding="utf-8") as stream:
            yield from _lines(stream)


def _lines(stream: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in stream if line.strip())
