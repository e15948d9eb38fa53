"""Where a command's texts come from: its arguments, a file, or standard input."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from formers.core.textfile import conversion, opened

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_AT_ONCE = 1 << 16  # bytes
_MARK = b"\xef\xbb\xbf"  # the byte-order mark that some editors put before UTF-8


def given(texts: Sequence[str] | None, file: Path | None, column: str | None) -> Iterator[str]:
    """The texts of the arguments, else of `file`, else of standard input (one a line, as they come).

    The first is read at once, so that a wrong path is reported before a model is loaded.

    Raises:
        ValueError: for texts and a file at once, none at all, or a file that holds none.
    """
    return itertools.chain.from_iterable(blocks(texts, file, column))


def blocks(texts: Sequence[str] | None, file: Path | None, column: str | None) -> Iterator[Iterable[str]]:
    """The texts of `given` in blocks, each to be answered before the next is asked for.

    From standard input a block is a list of the lines that are there by now; else there is one block.
    """
    if texts and file is not None:
        raise ValueError("give texts as arguments or with --file, not both")
    if column is not None and (file is None or not is_table(file)):
        raise ValueError("--text-column names a column of a table (--file data.csv): there is none to read")
    if texts:
        return iter([[_whole(text, number) for number, text in enumerate(texts, start=1)]])
    if file is not None:
        source = read(file, column)
        first = next(source, None)
        if first is None:
            raise ValueError(f"{file} holds no text")
        return iter([itertools.chain([first], source)])
    if sys.stdin.isatty():
        raise ValueError("there is no text: give it as an argument, with --file, or on standard input")
    arriving = _typed(sys.stdin)
    earliest = next(arriving, None)
    if earliest is None:
        raise ValueError("standard input holds no text")
    return itertools.chain([earliest], arriving)


def read(file: Path, column: str | None) -> Iterator[str]:
    """The column of a table (see `formers.training.data.load_table`), or each line of any other file.

    A name that ends in .gz is unpacked.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the table has no such column, or the file is not UTF-8 or no whole gzip file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}" + (": it is a folder" if file.is_dir() else ""))
    if is_table(file):
        from formers.training.data import load_table

        yield from (row["text"] for row in load_table(file, text_column=column or "text"))
        return
    with opened(file) as stream:
        yield from itertools.chain.from_iterable(_arriving(stream.read1, str(file)))


def is_table(file: Path) -> bool:
    """Whether the name of a file says that it has columns."""
    return any(suffix.lower() in _TABLES for suffix in file.suffixes[-2:])


def _typed(stream: IO[str]) -> Iterator[list[str]]:
    """What comes on standard input, in blocks of the lines that one read gives."""
    buffer: Any = getattr(stream, "buffer", None)
    if buffer is None:  # a stream that somebody put in its place
        lines = [line.rstrip("\r\n") for line in stream if line.strip()]
        return iter([lines] if lines else [])
    return _arriving(buffer.read1, "standard input")


def _arriving(more: Callable[[int], bytes], name: str) -> Iterator[list[str]]:
    """The lines that are no blanks of a byte stream, in a list for each read that completed any."""
    number, rest = 1, b""
    while chunk := more(_AT_ONCE):
        complete, found, rest = (rest + chunk).rpartition(b"\n")
        if found:
            lines = complete.split(b"\n")
            yield from _decoded(lines, name, number)
            number += len(lines)
    yield from _decoded([rest], name, number)


def _decoded(lines: Sequence[bytes], name: str, number: int) -> Iterator[list[str]]:
    """`lines` as one list of texts, when there is any; the first of them is line `number` of `name`."""
    texts: list[str] = []
    for place, line in enumerate(lines, start=number):
        try:
            text = (line.removeprefix(_MARK) if place == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            if texts:
                yield texts  # the lines before it are answered
            raise ValueError(
                f"{name}, line {place} is not UTF-8 text (byte {error.start} of the line, "
                f"0x{line[error.start]:02x}): {conversion(line)} makes it so"
            ) from error
        # a line may end as on old Macintoshes, too
        texts += [part for part in re.split(r"\r", text) if part.strip()]
    if texts:
        yield texts


def _whole(text: str, number: int) -> str:
    """A text of the command line, whose bytes were UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text {number} of the command line is not UTF-8 (character {error.start}): {text!r}"
        ) from error
    return text
