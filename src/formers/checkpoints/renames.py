"""Names of other times and exporters: reversible templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Rename:
    """A pair of name templates, `old` in the file and `new` in the model.

    `{i}` (and any name starting with `i`) stands for a whole number, every other `{word}` for any
    text; a word means the same on both sides. Example: `Rename("{path}.gamma", "{path}.weight")`.

    Raises:
        ValueError: when the two sides do not have the same words, so that no way back exists.
    """

    old: str
    new: str

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
        return Rename(self.new, self.old)


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


def candidates(name: str, renames: Iterable[Rename], prefix: str = "") -> list[str]:
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
    names = list(dict.fromkeys([name, bare]))
    for rename in (*renames, *LEGACY):
        names += [other for known in list(names) if (other := rename.forward(known)) is not None]
    if prefix:
        names += [f"{prefix}.{known}" for known in names] + [
            known.removeprefix(f"{prefix}.") for known in names if known.startswith(f"{prefix}.")
        ]
    return list(dict.fromkeys(names))
