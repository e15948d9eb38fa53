"""Names of other times and exporters: reversible templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Rename:
    """A pair of name templates, `old` in the file and `new` in the model.

    `{i}` (and any name starting with `i`) stands for a whole number, every other `{word}` for any
    text; a word means the same on both sides. Example: `Rename("{path}.gamma", "{path}.weight")`.

    Attributes:
        old: the file's spelling.
        new: the model's.
        written: saving writes `old` too, as newer readers expect it; otherwise it is only read.

    Raises:
        ValueError: when the two sides do not have the same words, so that no way back exists.
    """

    old: str
    new: str
    written: bool = False

    def __post_init__(self) -> None:
        sides = [re.findall(r"\{(\w+)\}", side) for side in (self.old, self.new)]
        if sorted(sides[0]) != sorted(sides[1]) or any(len(set(side)) != len(side) for side in sides):
            raise ValueError(
                f"both sides of {self.old!r} <-> {self.new!r} must use the same words, each once"
            )

    @cached_property
    def _old(self) -> re.Pattern[str]:
        return _pattern(self.old)

    @cached_property
    def _new(self) -> re.Pattern[str]:
        return _pattern(self.new)

    def forward(self, name: str) -> str | None:
        """The model's name for a file's name, or None when the template does not fit."""
        match = self._old.fullmatch(name)
        return self.new.format(**match.groupdict()) if match else None

    def backward(self, name: str) -> str | None:
        """The file's name for a model's name, or None when the template does not fit."""
        match = self._new.fullmatch(name)
        return self.old.format(**match.groupdict()) if match else None

    def reversed(self) -> Rename:
        """The same pair, read the other way."""
        return Rename(self.new, self.old, self.written)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    out = []
    for part in parts:
        if part.startswith("{"):
            word = part[1:-1]
            out.append(f"(?P<{word}>{'0|[1-9][0-9]*' if word.startswith('i') else '.+'})")
        else:
            out.append(re.escape(part))
    return re.compile("".join(out))


# What very old exporters called the two tensors of a normalisation.
LEGACY = (
    Rename("{path}.gamma", "{path}.weight"),
    Rename("{path}.beta", "{path}.bias"),
)

# What wrappers put before every name.
WRAPPERS = ("module.", "_orig_mod.")


def candidates(name: str, renames: Sequence[Rename], prefix: str = "") -> list[str]:
    """The model's possible names for a file's name, the likeliest first.

    Args:
        name: the name in the file.
        renames: templates; the file's own spelling is tried first.
        prefix: the name of the base model inside a model with a head (`"bert"`); it is tried added
            and taken away.
    """
    bare = name
    for wrapper in WRAPPERS:
        bare = bare.removeprefix(wrapper)
    names = _spellings([name, bare], renames)
    if prefix:
        start = f"{prefix}."
        inner = _spellings([known.removeprefix(start) for known in names if known.startswith(start)], renames)
        names += [start + known for known in names] + inner + [start + known for known in inner]
    return list(dict.fromkeys(names))


def _spellings(names: list[str], renames: Iterable[Rename]) -> list[str]:
    """The names, and what templates make of them, one after the other."""
    names = list(dict.fromkeys(names))
    for rename in (*renames, *LEGACY):
        names += [other for known in list(names) if (other := rename.forward(known)) is not None]
    return names


def written(names: Iterable[str], renames: Iterable[Rename], prefix: str = "") -> dict[str, str]:
    """The spelling under which each name of the model is saved: the way back of `candidates`.

    Raises:
        ValueError: when two names would be written under one spelling.
    """
    ways = [rename for rename in renames if rename.written]
    spelt: dict[str, str] = {}
    for name in names:
        bare = name.removeprefix(f"{prefix}.") if prefix else name
        start = name.removesuffix(bare)
        found = [start + old for way in ways if (old := way.backward(bare)) is not None]
        found = [old for way in ways if (old := way.backward(name)) is not None] or found
        spelt[name] = found[0] if found else name
    if len(set(spelt.values())) < len(spelt):
        twice = sorted(name for name in spelt if list(spelt.values()).count(spelt[name]) > 1)
        raise ValueError(f"these would be saved under one name: {', '.join(twice)}")
    return spelt
