"""What a load did, for programs and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from formers.checkpoints.files import TensorFiles

_SHOWN = 20  # names listed in a message; the report has all


@dataclass
class LoadReport:
    """What a load did. `str(report)` is for people, the fields are for programs."""

    loaded: int = 0  # tensors of the model that came from the files
    values: int = 0  # numbers in them
    new: list[str] = field(default_factory=list)  # freshly initialised
    kept: list[str] = field(default_factory=list)  # buffers that the files lack, as the constructor made them
    missing: list[str] = field(default_factory=list)  # wanted, not in the files, and not allowed to be new
    unexpected: list[str] = field(default_factory=list)  # of the files, under the model's own prefix, unused
    other_heads: list[str] = field(default_factory=list)  # of the files, outside that prefix, unused
    ignored: list[str] = field(default_factory=list)  # of the files, known to be of no use
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    untied: list[str] = field(default_factory=list)  # declared tied, but the files hold two different tensors
    renamed: dict[str, str] = field(default_factory=dict)  # the model's name -> the file's
    dtypes: dict[str, int] = field(default_factory=dict)  # dtype -> tensors, as loaded
    files: list[Path] = field(default_factory=list)
    fingerprint: str = ""  # hash of names, shapes, dtypes, sizes

    def count(self, value: Tensor) -> None:
        """Note that a tensor of the model came from the files."""
        self.loaded += 1
        self.values += value.numel()
        kind = str(value.dtype).removeprefix("torch.")
        self.dtypes[kind] = self.dtypes.get(kind, 0) + 1

    @property
    def content_hash(self) -> str:
        """SHA-256 over every byte of the files; reads them all."""
        return TensorFiles.of(self.files).content_hash() if self.files else ""

    @property
    def origin(self) -> str:
        """The names of the files, for messages."""
        return some([path.name for path in self.files], 3) or "the given tensors"

    def as_dict(self) -> dict[str, Any]:
        """The dictionary that `output_loading_info=True` asks for."""
        return {
            "missing_keys": [*self.missing, *self.new, *self.kept],
            "unexpected_keys": [*self.unexpected, *self.other_heads],
            "mismatched_keys": list(self.mismatched),
            "error_msgs": [],
        }

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.dtypes.items()))
        lines = [f"loaded {self.loaded} tensors ({self.values:,} values; {kinds}) from {self.origin}"]
        shapes = [f"{name}: file {list(a)}, model {list(b)}" for name, a, b in self.mismatched]
        for title, items in (
            ("newly initialised", self.new),
            ("as the constructor made them", self.kept),
            ("missing", self.missing),
            ("other shape in the file", shapes),
            ("in the files, not used", self.unexpected),
            ("in the files, of another head", self.other_heads),
            ("in the files, ignored", self.ignored),
            ("declared tied, kept apart", self.untied),
        ):
            if items:
                lines.append(f"  {title} ({len(items)}): {some(items)}")
        if self.fingerprint:
            lines.append(f"  fingerprint {self.fingerprint[:16]}")
        return "\n".join(lines)


def some(items: Sequence[str], limit: int = _SHOWN) -> str:
    """The first of the items, and how many more there are."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown}, and {len(items) - limit} more"
