"""Records in JSON files: read with errors that name the file, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.atomic import write_text

if TYPE_CHECKING:
    from typing_extensions import Self


class BadJson(OSError, ValueError):
    """A file holds no JSON, or other JSON than is expected of it."""


_DEEPEST = 100  # lists and objects inside each other: beyond that, whatever walks them runs out of stack


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file in UTF-8.

    Raises:
        FileNotFoundError: when there is none.
        BadJson: when it is no JSON; an OSError and a ValueError.
    """
    return parse_json(Path(path).read_bytes(), str(path))


def parse_json(content: bytes | str, name: str, *, strict: bool = False, data: bool = False) -> Any:
    """Read JSON in UTF-8, nested no deeper than anything that is meant.

    Args:
        content: the bytes, or the text.
        name: what errors call it.
        strict: refuse NaN and infinities, which JSON does not have and Python writes.
        data: it is somebody's own data, such as a line of a table: refuse a key that an object names twice.

    Raises:
        BadJson: when it is no JSON, is nested too deep, or holds a number of thousands of digits.
    """
    constant, pairs = _refuse_constant if strict else None, _unique if data else None
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        found = json.loads(text, parse_constant=constant, object_pairs_hook=pairs)
        deep = _is_deep(found)
    except RecursionError:
        deep = True
    except ValueError as error:
        said = "JSON: {}" if data else "a valid JSON file: {}. Download or save it again."
        raise BadJson(f"{name} is not {said.format(error)}") from error
    if deep:
        raise BadJson(f"{name} nests lists and objects more than {_DEEPEST} deep: nothing that is meant does")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(_DEEPEST):
        held = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in held for item in items if isinstance(item, (dict, list))]
    return bool(level)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        OSError: when the file cannot be read, is no JSON, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise BadJson(f"{path} holds a JSON {type(content).__name__}, where an object {{...}} is expected")
    try:
        return {name: _spelled(value) for name, value in content.items()}
    except ValueError as error:
        raise BadJson(f"{path}: {error}") from error


def _spelled(value: Any) -> Any:
    """Decode the newer spelling of infinities and NaN: `{"__float__": "Infinity"}`."""
    if isinstance(value, dict):
        if list(value) == ["__float__"]:
            said = str(value["__float__"])
            if said not in ("NaN", "Infinity", "-Infinity"):
                raise ValueError(f"__float__ stands for NaN, Infinity or -Infinity, not {said[:40]!r}")
            return float(said.replace("Infinity", "inf"))
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value


def finite(value: Any) -> Any:
    """`value` with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any, other: Callable[[Any], Any] = lambda value: value) -> Any:
    """`value` as JSON holds it, all the way down.

    Keys become text, and enumerations, dtypes and records what they stand for; `other` is asked for all else.
    """
    if isinstance(value, Mapping):
        if value and all(isinstance(key, tuple) for key in value):  # a bias of sequences of token ids
            return [[list(key), plain(item, other)] for key, item in value.items()]
        return {str(key): plain(item, other) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item, other) for item in items]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    to_dict = getattr(value, "to_dict", None)
    return plain(to_dict(), other) if callable(to_dict) else other(value)


class JsonRecord:
    """A record that lies in a JSON file.

    It says what it holds (`to_dict`) and how it is built of that (`from_dict`); the file follows.
    """

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], /) -> Self:
        """Build from what `to_dict` gave."""
        raise NotImplementedError

    def to_json_string(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_json_file(self, json_file_path: str | os.PathLike[str], **how: Any) -> None:
        """Write the JSON text to a file, atomically; `how` are keywords of `to_json_string`."""
        write_text(json_file_path, self.to_json_string(**how))

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
        """Build from one JSON file."""
        return cls.from_dict(read_json_object(json_file))
