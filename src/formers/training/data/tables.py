"""Examples in: tables from files, labels to numbers, rows to model inputs."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from formers.core.notices import did_you_mean
from formers.core.textfile import read_text

TEXT_NAMES = ("text", "sentence", "content", "review", "document", "body", "message", "ticket")
_LABEL_NAMES = ("label", "labels", "target", "class", "category", "y")


def load_table(
    path: str | Path,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    encoding: str = "utf-8-sig",
) -> list[dict[str, Any]]:
    """Read a table of examples: .csv, .tsv, .json, .jsonl (.ndjson), each also with .gz.

    A byte-order mark, quoted fields with line breaks, and blank lines are handled. With column names given,
    the rows hold just "text" and "label"; what is no text or no label there is refused with its row.

    Args:
        path: the file.
        text_column: name of the column with the text; guessed when only `label_column` is given.
        label_column: name of the column with the label.
        encoding: of the file; the default is UTF-8 with or without a byte-order mark.

    Returns:
        One dict for each row, in order.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for a file that is empty or broken, a row that does not fit, or a column that is not
            there; the text names the columns that are.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is a folder, not a file" if path.is_dir() else f"no such file: {path}"
        )
    kind = next((s for s in reversed([s.lower() for s in path.suffixes]) if s != ".gz"), "")
    text = read_text(path, encoding)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    if kind in (".csv", ".tsv", ".txt"):
        rows = _csv_rows(text, path, "\t" if kind == ".tsv" else None)
    elif kind in (".json", ".jsonl", ".ndjson"):
        rows = _json_rows(text, path)
    else:
        raise ValueError(
            f"{path}: expected .csv, .tsv, .json or .jsonl (or one of them with .gz), found {kind or 'no'!r} "
            "ending"
        )
    if not rows:
        raise ValueError(f"{path} has a header but no rows")
    if text_column is None and label_column is None:
        return rows
    columns = list(rows[0])
    text_column = text_column or _guess(columns, TEXT_NAMES, "text_column", path)
    return _select(rows, columns, {"text": text_column, "label": label_column}, path)


def _csv_rows(text: str, path: Path, delimiter: str | None) -> list[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    if delimiter is None:
        header = text.lstrip("\r\n").split("\n", 1)[0]
        delimiter = max((",", ";", "\t"), key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[dict[str, Any]] = []
    columns: list[str] | None = None
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if columns is None:
            columns = [field.strip() for field in fields]
            continue
        if len(fields) != len(columns):
            raise ValueError(
                f"{path}, line {reader.line_num}: {len(fields)} fields where the header has {len(columns)} "
                f"({', '.join(columns)}); a field that holds {delimiter!r} or a line break must be quoted"
            )
        rows.append(dict(zip(columns, fields, strict=True)))
    return rows


def _json_rows(text: str, path: Path) -> list[dict[str, Any]]:
    stripped = text.lstrip()
    if stripped.startswith("["):
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {error.lineno}: {error.msg} (column {error.colno})") from error
    else:
        rows = []
        # not splitlines: it cuts at U+2028 and its like too, which a JSON string may hold as they are
        for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError as error:
                    whole = _whole_document(text)
                    if whole is None:
                        raise ValueError(
                            f"{path}, line {number}: {error.msg} (column {error.colno})"
                        ) from error
                    rows = whole
                    break
    if len(rows) == 1 and isinstance(rows[0], dict) and isinstance(rows[0].get("data"), list):
        rows = rows[0]["data"]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(
                f"{path}, entry {number}: expected an object with columns, found {type(row).__name__}"
            )
    return rows  # type: ignore[no-any-return]


def _whole_document(text: str) -> list[Any] | None:
    """An indented JSON document of one object, as a list; None where it is none."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, list) else [found]


def _guess(columns: Sequence[str], usual: Sequence[str], argument: str, path: Path) -> str:
    found = next((column for column in columns if column.lower() in usual), None)
    if found is None:
        raise ValueError(f"{path} has the columns {list(columns)}: say which with {argument}=")
    return found


def _select(
    rows: list[dict[str, Any]], columns: Sequence[str], wanted: Mapping[str, str | None], path: Path
) -> list[dict[str, Any]]:
    for column in wanted.values():
        if column is not None and column not in columns:
            raise ValueError(
                f"{path} has no column {column!r}{did_you_mean(column, columns)}; it has {list(columns)}"
            )
    selected = []
    for number, row in enumerate(rows, start=1):
        entry = {name: row.get(column) for name, column in wanted.items() if column is not None}
        for name, value in entry.items():
            if value is None or (isinstance(value, str) and not value.strip()):
                raise ValueError(f"{path}, row {number}: the column {wanted[name]!r} is empty")
            wrong = _no_text(value) if name == "text" else _no_label(value)
            if wrong:
                raise ValueError(f"{path}, row {number}: the column {wanted[name]!r} {wrong}")
        selected.append(entry)
    return selected


def _no_text(value: Any) -> str | None:
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
        return _no_text(value)
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
    if distinct and all(name.removeprefix("-").isdecimal() for name in distinct):
        return sorted(distinct, key=lambda name: (int(name), name))  # "1" and "01" in the same order always
    return sorted(distinct)


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
        if wrong := _no_text(text):
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
