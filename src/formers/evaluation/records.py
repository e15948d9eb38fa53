"""Small JSON records that lie beside a model: calibration, thresholds, the drift baseline."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.core.atomic import write_text
from formers.core.notices import did_you_mean
from formers.hub import Source

if TYPE_CHECKING:
    from typing_extensions import Self

VERSION = 1


class Record:
    """A dataclass that lies beside a model, in a file of its own."""

    file_name: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The record from plain values.

        Raises:
            ValueError: for an unknown entry, or values that make no sense.
        """
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in sorted(set(values) - known):
            raise ValueError(f"unknown entry {name!r}{did_you_mean(name, known)}")
        return cls(**values)

    def save(self, folder: str | Path) -> Path:
        """Write the file into `folder`, atomically."""
        values = {"version": VERSION, **self.to_dict()}
        body = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        return write_text(Path(folder) / self.file_name, body + "\n")

    @classmethod
    def load(cls, source: Any) -> Self | None:
        """The record of `source`; None where there is none.

        Args:
            source: a folder, the file itself, a Hub id, a `hub.Source`, or None.

        Raises:
            ValueError: when the file is there but broken.
        """
        path = _locate(source, cls.file_name)
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
            raise ValueError(
                f"{path} has version {version!r}; this release of formers reads version {VERSION}"
            )
        try:
            return cls.from_dict(values)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} cannot be used: {error}") from error


def beside(model: Any) -> Any:
    """Where the records of a loaded model lie: its folder, its snapshot in the Hub's cache; None for neither.

    The answer is a source for `Record.load`.
    """
    config = getattr(model, "config", None)
    name = getattr(model, "name_or_path", None) or getattr(config, "name_or_path", None)
    if not name or Path(name).is_dir():
        return Path(name) if name else None
    commit = getattr(config, "commit_hash", None)
    return Source.of(name, revision=commit, local_files_only=True) if commit else None


def _locate(source: Any, name: str) -> Path | None:
    if source is None:
        return None
    if not hasattr(source, "find") or isinstance(source, str):  # a text has a `find`, too
        path = Path(source)
        if path.is_dir():
            return path / name if (path / name).is_file() else None
        if path.is_file():
            return path
        if isinstance(source, Path) or path.suffix == ".json":
            raise FileNotFoundError(f"{path} does not exist: expected a model folder or its {name}")
        source = Source.of(source)
    found = source.find(name)
    return None if found is None else Path(found)
