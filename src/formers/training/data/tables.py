"""Examples in: tables from files, labels to numbers, rows to model inputs."""

from __future__ import annotations

import csv
import io
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from formers.core.extras import need
from formers.core.jsonfile import parse_json
from formers.core.notices import did_you_mean, notice
from formers.core.textfile import read_text

TEXT_NAMES = ("text", "sentence", "content", "review", "document", "body", "message", "ticket")
KINDS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
Rows = list[tuple[str, dict[str, Any]]]  # each with its place in the file, for messages


def load_table(
    path: str | Path,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    encoding: str = "utf-8-sig",
) -> list[dict[str, Any]]:
    """Read a table of examples: .csv, .tsv, .txt, .json, .jsonl (.ndjson), packed with gzip or not; .parquet.

    A byte-order mark, quoted fields with line breaks, and blank lines are handled. Quotes in a table of tabs
    belong to the texts, unless they are those that a writer of CSV makes. With column names given, the rows
    hold just "text" and "label" (without blanks around it); what is no text or no label there is refused with
    its line.

    Args:
        path: the file.
        text_column: name of the column with the text; guessed when only `label_column` is given.
        label_column: name of the column with the label.
        encoding: of the file; by default UTF-8, or what a byte-order mark says.

    Returns:
        One dict for each row, in order.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for a file that is empty or broken, a row that does not fit, a column that is not there or
            there twice; the text names the columns that are.
    """
    wanted = {name for name in (text_column, label_column) if name is not None}
    rows = placed_rows(path, wanted, encoding=encoding)
    if not wanted:
        return [row for _, row in rows]
    columns = list(rows[0][1])
    text_column = text_column or _guess(columns, TEXT_NAMES, "text_column", path)
    return _select(rows, {"text": text_column, "label": label_column}, path)


def placed_rows(path: str | Path, wanted: Collection[str] = (), *, encoding: str = "utf-8-sig") -> Rows:
    """The rows of a table as `load_table` reads it, each with its place in the file, such as "line 7".

    Args:
        path: the file.
        wanted: columns that must be there; without any, all of them count.
        encoding: see `load_table`.

    Raises:
        FileNotFoundError, ValueError: as of `load_table`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is a folder, not a file" if path.is_dir() else f"no such file: {path}"
        )
    kind = next((s for s in reversed([s.lower() for s in path.suffixes]) if s != ".gz"), "")
    if kind not in KINDS:
        raise ValueError(
            f"{path}: expected .csv, .tsv, .json or .jsonl (or one of them with .gz), or .parquet, found "
            f"{kind or 'no'!r} ending"
        )
    if kind == ".parquet":
        rows = _parquet_rows(path, wanted)
    else:
        text = read_text(path, encoding)
        if not text.strip():
            raise ValueError(f"{path} is empty")
        rows = _json_rows(text, path) if "json" in kind else _csv_rows(text, path, kind, wanted)
    if not rows:
        raise ValueError(f"{path} has a header but no rows")
    columns = list(rows[0][1])
    for column in wanted:
        if column not in columns:
            raise ValueError(
                f"{path} has no column {column!r}{did_you_mean(column, columns)}; it has {columns}"
            )
    return rows


def _parquet_rows(path: Path, wanted: Collection[str]) -> Rows:
    arrow, parquet = need("pyarrow", "train", "Parquet tables"), need("pyarrow.parquet", "train")
    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, arrow.ArrowException) as error:
        raise ValueError(f"{path} is no whole Parquet file: {error}") from error
    _refuse_doubled(table.column_names, wanted, path)
    return [(f"row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]


def _csv_rows(text: str, path: Path, kind: str, wanted: Collection[str]) -> Rows:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = "\t" if kind == ".tsv" else delimiter_of(text, wanted)
    quoted = delimiter != "\t" or not _quotes_are_text(text)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    rows: Rows = []
    columns: list[str] | None = None
    line = 1  # of the file, on which the row begins
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                pass
            elif columns is None:
                columns = [field.strip() for field in fields]
                _refuse_doubled(columns, wanted, path)
            elif len(fields) != len(columns):
                raise ValueError(
                    f"{path}, line {line}: {len(fields)} fields where the header has {len(columns)} "
                    f"({', '.join(columns)}); a field that holds {delimiter!r} or a line break must be quoted"
                )
            else:
                rows.append((f"line {line}", dict(zip(columns, fields, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {line}: a field that begins with a quote must end with one before the next "
            f"{delimiter!r}, and quotes in it must be doubled ({error}, line {reader.line_num})"
        ) from error
    return rows


def delimiter_of(text: str, wanted: Collection[str]) -> str:
    """The one under which the header names most of the wanted columns, then the one that it holds most."""
    header = re.split("[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    bare = re.sub('"[^"]*"', "", header)

    def found(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=delimiter))
        return len({*wanted} & {name.strip() for name in names}), bare.count(delimiter)

    return max((",", ";", "\t", "|"), key=found)


def _quotes_are_text(text: str) -> bool:
    """Whether quotes in a table with tabs are letters like others, as in the files of GLUE.

    A writer of CSV doubles the quotes in a field, and quotes fields that hold any, or whole columns. Where
    rows are lines and a field is quoted otherwise, no such writer was at work.
    """
    lines = [line for line in re.split("\r\n|\n|\r", text) if line.strip()]
    if len({line.count("\t") for line in lines}) > 1:
        return False  # a field holds a tab or a line break
    for column in zip(*(line.split("\t") for line in lines[1:]), strict=True):
        quoted = [field for field in column if '"' in field]
        if not all(re.fullmatch('"(?:[^"]|"")*"', field) for field in quoted):
            return True
        if len(quoted) < len(column) and not all('"' in field[1:-1] for field in quoted):
            return True
    return False


def _refuse_doubled(columns: Sequence[str], wanted: Collection[str], path: Path) -> None:
    """Refuse a header that names a column twice; other columns than those wanted do not matter."""
    for name, count in Counter(columns).items():
        if count > 1 and (name in wanted or not wanted):
            raise ValueError(
                f"{path}: the header names {name!r} {count} times; give each column its own name"
            )


def _json_rows(text: str, path: Path) -> Rows:
    rows: Any = []
    if text.lstrip().startswith("["):
        rows = parse_json(text, str(path), data=True)
    else:
        # not splitlines: it cuts at U+2028 and its like too, which a JSON string may hold as they are
        for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
            if line.strip():
                try:
                    rows.append((f"line {number}", parse_json(line, f"{path}, line {number}", data=True)))
                except ValueError:
                    if rows or line.strip()[-1] not in "{[,":
                        raise
                    rows = [parse_json(text, str(path), data=True)]  # an indented document
                    break
        only = rows[0][1] if isinstance(rows[0], tuple) else rows[0]
        if len(rows) == 1 and isinstance(only, dict) and isinstance(only.get("data"), list):
            rows = only["data"]
    if not rows or not isinstance(rows[0], tuple):
        rows = [(f"entry {number}", row) for number, row in enumerate(rows, start=1)]
    for place, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, {place}: expected an object with columns, found {type(row).__name__}")
    return rows  # type: ignore[no-any-return]


def _guess(columns: Sequence[str], usual: Sequence[str], argument: str, path: str | Path) -> str:
    found = next((column for column in columns if column.lower() in usual), None)
    if found is None:
        raise ValueError(f"{path} has the columns {list(columns)}: say which with {argument}=")
    return found


def _select(rows: Rows, wanted: Mapping[str, str | None], path: str | Path) -> list[dict[str, Any]]:
    selected = []
    for place, row in rows:
        entry = {name: row.get(column) for name, column in wanted.items() if column is not None}
        for name, value in entry.items():
            if value is None or (isinstance(value, str) and not value.strip()):
                raise ValueError(f"{path}, {place}: the column {wanted[name]!r} is empty")
            wrong = no_text(value) if name == "text" else _no_label(value)
            if wrong:
                raise ValueError(f"{path}, {place}: the column {wanted[name]!r} {wrong}")
        if isinstance(label := entry.get("label"), str):
            entry["label"] = label.strip()
        selected.append(entry)
    return selected


def no_text(value: Any) -> str | None:
    """What is wrong with a text, as the end of a sentence; None for a sound one."""
    if not isinstance(value, str):
        return f"holds {_shown(value)} ({type(value).__name__}), where a text (a string) is expected"
    half = re.search("[\ud800-\udfff]", value)
    if half is None:
        return None
    return (
        f"holds {_shown(value)}, with half a character (U+{ord(half.group()):04X}) at place {half.start()}: "
        "it was cut or decoded wrongly, and cannot be written as UTF-8"
    )


def _no_label(value: Any) -> str | None:
    """What is wrong with a label, as the end of a sentence; None for a sound one."""
    if isinstance(value, str):
        return no_text(value)
    if value is None or isinstance(value, (list, tuple, set, frozenset, Mapping)) or value != value:
        return (
            f"holds {_shown(value)} ({type(value).__name__}), where one label is expected: a name or a number"
        )
    return None


def _shown(value: Any) -> str:
    found = repr(value)
    return found if len(found) <= 60 else found[:59] + "…"


def label_names(labels: Iterable[Any]) -> list[str]:
    """The distinct labels as text, sorted; whole numbers are sorted as numbers.

    Raises:
        ValueError: for what is no single label: a list, a mapping, None or NaN.
    """
    distinct = set()
    for index, label in enumerate(labels):
        if wrong := _no_label(label):
            raise ValueError(f"row {index + 1} {wrong}")
        distinct.add(str(label))
    _notice_alike(distinct)
    if distinct and all(name.removeprefix("-").isdecimal() for name in distinct):
        return sorted(distinct, key=lambda name: (int(name), name))  # "1" and "01" in the same order always
    return sorted(distinct)


def _notice_alike(names: Iterable[str]) -> None:
    """Say which labels a reader cannot tell apart: an accent written in two ways, a sign of no width."""
    looks: dict[str, list[str]] = {}
    for name in sorted(names):
        seen = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
        looks.setdefault(seen, []).append(name)
    for alike in looks.values():
        if len(alike) > 1:
            notice(f"the labels {', '.join(map(ascii, alike))} look the same and are counted as different")


def label_maps(labels: Iterable[Any]) -> tuple[dict[int, str], dict[str, int]]:
    """`id2label` and `label2id` for `from_pretrained`, from the labels that occur."""
    names = label_names(labels)
    return dict(enumerate(names)), {name: index for index, name in enumerate(names)}


def tokenize_rows(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Callable[..., Any],
    *,
    label2id: Mapping[str, int] | None = None,
    text_column: str = "text",
    label_column: str = "label",
    max_length: int | None = None,
) -> list[dict[str, Any]]:
    """Turn rows of text and label into model inputs, cut to the model's length, not padded.

    Args:
        rows: for example from `load_table`.
        tokenizer: a tokenizer of this library.
        label2id: name of a label -> its number; labels are taken as they are without it.
        text_column: name of the text in a row.
        label_column: name of the label in a row; rows without one give no "labels".
        max_length: cut here instead of at the model's limit.

    Raises:
        ValueError: for a text that is no string, or a label that is not in `label2id`, with its row.
    """
    texts = [row[text_column] for row in rows]
    for index, text in enumerate(texts):
        if wrong := no_text(text):
            raise ValueError(f"row {index + 1}: the column {text_column!r} {wrong}")
    options = {"truncation": True, **({"max_length": max_length} if max_length else {})}
    encoded = tokenizer(texts, **options)
    examples = []
    for index, row in enumerate(rows):
        example = {name: values[index] for name, values in encoded.items()}
        if label_column in row:
            label = row[label_column]
            if label2id is not None:
                if str(label) not in label2id:
                    raise ValueError(
                        f"row {index + 1}: the label {label!r} is "
                        f"unknown{did_you_mean(str(label), label2id)}; known are {sorted(label2id)}"
                    )
                label = label2id[str(label)]
            example["labels"] = label
        examples.append(example)
    return examples
