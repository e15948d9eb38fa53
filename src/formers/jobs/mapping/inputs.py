"""Rows of files: which files there are, how they are cut into blocks, and a block's rows."""

from __future__ import annotations

import csv
import glob
import io
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from formers.core.extras import need
from formers.core.jsonfile import BadJson, parse_json
from formers.core.notices import did_you_mean
from formers.core.textfile import opened, read_text
from formers.training.data.tables import delimiter_of

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
FILE = "file"  # the only column of rows that are files: pictures, sounds, films
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Bad:
    """A row that cannot be asked, and why."""

    why: str


@dataclass(frozen=True)
class Block:
    """Rows that are answered together.

    Attributes:
        index: its place among all blocks.
        first: place of its file among the inputs, of the first one where rows are files.
        row: place of its first row in that file.
        rows: how many.
        offset: byte at which they begin in a text file, unpacked; 0 in others.
        size: how many bytes they have there; 0 in others.
    """

    index: int
    first: int
    row: int
    rows: int
    offset: int = 0
    size: int = 0


def found(inputs: Sequence[str]) -> list[str]:
    """The files that `inputs` name: files, folders (what lies in them) and patterns; whole paths, sorted.

    Raises:
        FileNotFoundError: for what is not there.
        ValueError: for an address, or no file at all.
    """
    paths: set[Path] = set()
    for name in map(str, inputs):
        if "://" in name:
            raise ValueError(f"{name} is an address: name files that all workers can open, on a shared disk")
        path = Path(name).expanduser()
        if path.is_dir():
            paths |= {one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")}
        elif path.is_file():
            paths.add(path)
        elif matched := [Path(one) for one in glob.glob(str(path)) if Path(one).is_file()]:
            paths |= {*matched}
        else:
            raise FileNotFoundError(f"there is no file {name}")
    if not paths:
        raise ValueError(f"no files lie in {', '.join(map(str, inputs))}")
    return sorted(str(path.resolve()) for path in paths)


def kind_of(path: str) -> str:
    """The kind of a table, "csv", "lines", "json" or "parquet"; "" for what is no table."""
    ending = next((s for s in reversed([s.lower() for s in Path(path).suffixes]) if s != ".gz"), "")
    if ending not in TABLES:
        return ""
    if ending in (".csv", ".tsv"):
        return "csv"
    if ending == ".json":
        return "lines" if _is_lines(path) else "json"
    return "parquet" if ending == ".parquet" else "lines"


def _is_lines(path: str) -> bool:
    """Whether the first line of a .json file is a whole row."""
    with opened(path) as stream:
        first = next((line for line in stream if line.strip()), b"")
        more = any(line.strip() for line in stream)
    try:
        row = parse_json(first.removeprefix(_MARK), path)
    except BadJson:
        return False
    return isinstance(row, dict) and (more or not isinstance(row.get("data"), list))


def columns_of(path: str) -> list[str]:
    """The columns of a table; those of its first row where rows have their own.

    Raises:
        ValueError: for a file that cannot be read as what its name says.
    """
    kind = kind_of(path)
    if kind == "parquet":
        return list(_parquet(path).schema_arrow.names)
    if kind == "csv":
        return list(_head(path)[0])
    rows = _json(path) if kind == "json" else [row for _, _, row in _line_records(path, 0, None)][:1]
    return list(rows[0]) if rows and isinstance(rows[0], dict) else []


def blocks_of(path: str, rows: int) -> Iterator[tuple[int, int, int, int]]:
    """(row, rows, offset, size) of the blocks of a table, each of at most `rows` rows.

    Raises:
        ValueError: for a file that cannot be read as what its name says.
    """
    kind = kind_of(path)
    if kind in ("parquet", "json"):
        total = _parquet(path).metadata.num_rows if kind == "parquet" else len(_json(path))
        for start in range(0, total, rows):
            yield start, min(rows, total - start), 0, 0
        return
    start = count = offset = end = 0
    for begins, ends, _ in _records(path, kind, 0, None):
        if count == rows:
            yield start, count, offset, end - offset
            start, count = start + count, 0
        if count == 0:
            offset = begins
        count, end = count + 1, ends
    if count:
        yield start, count, offset, end - offset


def rows_of(block: Block, files: Sequence[str], wanted: Collection[str]) -> list[tuple[str, int, Any]]:
    """(file, place in it, row) of a block: a row is a dict, or `Bad`.

    Args:
        block: which rows.
        files: its file, or its files where rows are files.
        wanted: columns that are needed; others may be left out.
    """
    path, kind = files[0], kind_of(files[0])
    if not kind:
        return [(file, 0, {FILE: file}) for file in files]
    rows: list[Any]
    if kind == "parquet":
        rows = _parquet_rows(path, block, tuple(sorted(wanted)))
    elif kind == "json":
        rows = [_object(row) for row in _json(path)[block.row : block.row + block.rows]]
    else:
        rows = [row for _, _, row in _records(path, kind, block.offset, block.size)]
    if len(rows) != block.rows:
        raise ValueError(f"{path} has other rows than before: it was changed while it was read")
    return [(path, block.row + place, row) for place, row in enumerate(rows)]


def _records(path: str, kind: str, offset: int, size: int | None) -> Iterator[tuple[int, int, Any]]:
    return (_csv_records if kind == "csv" else _line_records)(path, offset, size)


def _line_records(path: str, offset: int, size: int | None) -> Iterator[tuple[int, int, Any]]:
    """(first byte, byte behind it, row) of the lines of a file that are not blank."""
    with opened(path) as stream:
        _refuse_wide(stream, path)
        stream.seek(offset)
        at = offset
        while size is None or at < offset + size:
            line = stream.readline()
            if not line:
                return
            begins, at = at, at + len(line)
            if line.strip():
                yield begins, at, _parsed(line.removeprefix(_MARK) if begins == 0 else line)


def _parsed(line: bytes) -> Any:
    try:
        return _object(parse_json(line, "the line", data=True))
    except ValueError as error:
        return Bad(str(error))


def _object(row: Any) -> Any:
    return row if isinstance(row, dict) else Bad(f"a row is an object with columns, not {type(row).__name__}")


def _csv_records(path: str, offset: int, size: int | None) -> Iterator[tuple[int, int, Any]]:
    """Likewise of a table with a head line, which is no record; a record may have several lines."""
    columns, delimiter, body = _head(path)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with opened(path) as stream:
        stream.seek(max(offset, body))
        at = begins = max(offset, body)
        end = None if size is None else offset + size
        over = False

        def lines() -> Iterator[str]:
            nonlocal at, over
            while end is None or at < end:
                line = stream.readline()
                if not line:
                    break
                at += len(line)
                yield line.decode("utf-8", errors="surrogateescape")
            over = True

        reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        while True:
            begins = at
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if over:
                    raise ValueError(f"{path}: a quote that is opened at byte {begins} never ends") from error
                yield begins, at, Bad(f"the line is no CSV: {error}")
                continue
            if not fields:  # a line without anything; one with blanks or quotes is a row
                continue
            if len(fields) != len(columns):
                yield begins, at, Bad(f"{len(fields)} fields where the head line has {len(columns)}")
            else:
                yield begins, at, dict(zip(columns, fields, strict=True))


@lru_cache(maxsize=4)
def _head(path: str) -> tuple[tuple[str, ...], str, int]:
    """Columns of a CSV file, what stands between them, and the byte behind the head line."""
    with opened(path) as stream:
        _refuse_wide(stream, path)
        stream.seek(0)
        at, line = 0, b""
        while not line.strip():
            line = stream.readline()
            if not line:
                raise ValueError(f"{path} is empty")
            at += len(line)
    try:
        text = line.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: the head line is not UTF-8: {error}") from error
    packed = [suffix.lower() for suffix in Path(path).suffixes]
    delimiter = "\t" if ".tsv" in packed[-2:] else delimiter_of(text, ())
    columns = tuple(field.strip() for field in next(csv.reader(io.StringIO(text), delimiter=delimiter)))
    if len({*columns}) < len(columns):
        raise ValueError(f"{path}: the head line names a column twice: {list(columns)}")
    return columns, delimiter, at


def _refuse_wide(stream: Any, path: str) -> None:
    if re.match(b"\xff\xfe|\xfe\xff", stream.read(2)):
        raise ValueError(f"{path} is UTF-16: iconv -f UTF-16 -t UTF-8 makes UTF-8 of it, which is read here")


@lru_cache(maxsize=1)
def _json(path: str) -> list[Any]:
    """The rows of a JSON document: a list, or the list under "data"."""
    text = read_text(path)
    rows = parse_json(text, path, data=True)
    rows = rows.get("data", [rows]) if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise ValueError(f'{path} holds no rows: a list of objects, or one under "data", is expected')
    return rows


def _parquet(path: str) -> Any:
    arrow, parquet = need("pyarrow", "ray", "Parquet tables"), need("pyarrow.parquet", "ray")
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise ValueError(f"{path} is no whole Parquet file: {error}") from error


@lru_cache(maxsize=1)
def _row_group(path: str, group: int, wanted: tuple[str, ...]) -> Any:
    """The columns that are wanted of one row group, kept for the blocks behind this one."""
    file = _parquet(path)
    return file.read_row_group(group, columns=[name for name in file.schema_arrow.names if name in wanted])


def _parquet_rows(path: str, block: Block, wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    metadata = _parquet(path).metadata
    rows: list[dict[str, Any]] = []
    begins = 0
    for group in range(metadata.num_row_groups):
        ends = begins + metadata.row_group(group).num_rows
        low, high = max(block.row, begins), min(block.row + block.rows, ends)
        if low < high:
            rows += _row_group(path, group, wanted).slice(low - begins, high - low).to_pylist()
        begins = ends
    return rows


def refuse_missing(path: str, wanted: Collection[str]) -> None:
    """Refuse a table whose head says that a column is not there; rows of JSON are looked at one by one.

    Raises:
        ValueError: naming the columns that there are.
    """
    if kind_of(path) in ("csv", "parquet"):
        there = columns_of(path)
        for name in wanted:
            if name not in there:
                raise ValueError(f"{path} has no column {name!r}{did_you_mean(name, there)}; it has {there}")
