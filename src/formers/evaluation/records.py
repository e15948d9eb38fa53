"""Small JSON records that lie beside a model: calibration, thresholds, the drift baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from formers.core.atomic import write_text

T = TypeVar("T")
VERSION = 1


def write_record(folder: str | Path, name: str, values: dict[str, Any]) -> Path:
    """Write `values` as `name` into `folder`, atomically."""
    body = json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False, allow_nan=False)
    return write_text(Path(folder) / name, body + "\n")


def read_record(source: Any, name: str, make: Callable[[dict[str, Any]], T]) -> T | None:
    """The record `name` of `source` (folder, file, Hub id or `hub.Source`); None where there is none.

    Raises:
        ValueError: when the file is there but cannot be used.
    """
    path = _locate(source, name)
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): remove it or write it again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(values).__name__}")
    version = values.pop("version", VERSION)
    if version != VERSION:
        raise ValueError(f"{path} has version {version!r}; this release of formers reads version {VERSION}")
    try:
        return make(values)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _locate(source: Any, name: str) -> Path | None:
    if hasattr(source, "find") and not isinstance(source, str):
        found = source.find(name)
        return None if found is None else Path(found)
    path = Path(source)
    if path.is_dir():
        return path / name if (path / name).is_file() else None
    if path.is_file():
        return path
    if isinstance(source, Path) or path.suffix == ".json":
        raise FileNotFoundError(f"{path} does not exist: expected a model folder or its {name}")
    from formers.hub import Source

    remote = Source.of(source).find(name)
    return None if remote is None else Path(remote)
