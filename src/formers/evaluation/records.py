"""Small JSON records that lie beside a model: calibration, thresholds, the drift baseline."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from formers.core.atomic import refuse_unwritable, write_text
from formers.core.fields import KINDS, declared
from formers.core.jsonfile import read_json_object
from formers.core.notices import did_you_mean
from formers.hub import Source

if TYPE_CHECKING:
    from typing_extensions import Self

VERSION = 1
T = TypeVar("T")


def built(kind: type[T], values: Any, where: str = "it") -> T:
    """A dataclass from the object that a file holds at `where`.

    Raises:
        ValueError: for no object, an unknown or missing entry, or values that make no sense.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # every caller has a dataclass
    names = [field.name for field in fields]
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object with {names}, found {values!r}"[:500])
    for field in fields:
        if field.name not in values and field.default is dataclasses.MISSING:
            raise ValueError(f"{where} needs a {field.name!r}; found {sorted(values)}"[:500])
    for name in sorted(set(values) - set(names)):
        raise ValueError(f"unknown entry {name!r}{did_you_mean(name, names)}")
    return kind(**values)


def check_fields(record: Any) -> None:
    """Refuse scalars of a record that are not what their field declares; whole numbers are counts.

    Raises:
        ValueError: naming the field.
    """
    for name, field in declared(record.__class__).items():
        value = getattr(record, name)
        if field.kinds and not (value is None and field.optional) and not _fits(value, field.kinds):
            raise ValueError(
                f"{name!r} must be {_WORDS.get(field.wanted(), field.wanted())}, found {value!r}"
            )


_WORDS = {KINDS["int"]: "a whole number of at least 0", KINDS["float"]: "a finite number"}


def _fits(value: Any, kinds: frozenset[str]) -> bool:
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, int) and "int" in kinds:
        return value >= 0
    if isinstance(value, (int, float)):
        return "float" in kinds and abs(value) <= sys.float_info.max
    return "str" in kinds and isinstance(value, str)


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
        return built(cls, values)

    @classmethod
    def place(cls, folder: str | Path) -> Path:
        """Where `save` writes.

        Raises:
            OSError: when nothing can be written there.
            ValueError: when a file of another kind is there.
        """
        path = Path(folder) / cls.file_name
        refuse_unwritable(path.parent)
        if path.exists():
            try:
                cls.load(path)
            except (ValueError, OSError) as error:
                raise ValueError(f"{error}: move {path} away, or name another folder") from error
        return path

    def save(self, folder: str | Path) -> Path:
        """Write the file into `folder`, atomically; see `place` for what is refused."""
        values = {"version": VERSION, **self.to_dict()}
        body = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        return write_text(self.place(folder), body + "\n")

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
        values = read_json_object(path)
        version = values.pop("version", VERSION)
        if version != VERSION:
            raise ValueError(
                f"{path} has version {version!r}; this release of formers reads version {VERSION}"
            )
        try:
            return cls.from_dict(values)
        except ValueError as error:
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
