"""Declared fields: what each of them takes, said once, by its annotation and by limits beside its default.

A field of a dataclass that `option` declares, such as `batch_size: int = option(8, at_least=1)`, is read and
checked by `read_fields`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from formers.core.notices import did_you_mean

KINDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a string"}
_CONTAINERS = {"list", "tuple", "dict", "set", "List", "Tuple", "Dict", "Set", "Mapping", "Sequence"}


@dataclasses.dataclass(frozen=True)
class Field:
    """What one field takes.

    Attributes:
        kinds: names of scalar types; empty where the annotation names none, or one that is not known here.
        optional: None is declared.
        listed: a list or a dictionary is declared.
        at_least, above, at_most, below: limits of a number.
        choices: the words that are known, or an enumeration whose members equal their words.
        older: names that the field had in other releases.
    """

    kinds: frozenset[str] = frozenset()
    optional: bool = False
    listed: bool = False
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: type[Enum] | Collection[str | None] | None = None
    older: tuple[str, ...] = ()

    @classmethod
    def of(cls, annotation: object, **limits: Any) -> Field:
        """Read an annotation, a type or a text such as `"int | None"`."""
        text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        text = re.sub(r"\b(?:typing\.|t\.)", "", text)
        text = re.sub(r"^(?:Optional\[(.*)\]|Union\[(.*)\])$", lambda found: _as_union(found), text)
        parts = {re.sub(r"\[.*", "", part).strip() for part in _split(text)}
        kinds, containers, none = parts & KINDS.keys(), parts & _CONTAINERS, parts & {"None", "NoneType"}
        known = parts == kinds | containers | none
        return cls(frozenset(kinds if known else ()), bool(none), bool(containers), **limits)

    def wanted(self) -> str:
        """The expected value in words."""
        kinds = self.kinds - {"int"} if "float" in self.kinds else self.kinds
        words = [KINDS[kind] for kind in KINDS if kind in kinds]
        return " or ".join([*words, *["a list"] * self.listed, *["None"] * self.optional])

    def read(self, name: str, value: Any) -> Any:
        """Return what is kept for `value`: numbers and switches may come as text, as from YAML and shells.

        Raises:
            ValueError: for a value of another kind, beyond the limits, or that is no choice.
        """
        if isinstance(self.choices, type):
            return self.choices(value)
        if self.listed and isinstance(value, (list, tuple, Mapping)):
            return value
        if self.choices is not None and value not in tuple(self.choices):
            *words, last = [repr(word) for word in self.choices if word is not None]
            raise ValueError(f"{name} must be {', '.join(words)} or {last}, got {value!r}")
        if value is None:
            return None
        if len(self.kinds) == 1:
            (kind,) = self.kinds
            value = _READERS[kind](name, value)
        if not self.within(value):
            raise ValueError(f"{name} {self._limits()}, got {value}")
        return value

    def within(self, value: Any) -> bool:
        """Whether a number keeps the limits."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def _limits(self) -> str:
        least = self.at_least if self.above is None else self.above
        if least is not None and self.at_least is not None and self.below is not None:
            return f"must be in [{least:.10g}, {self.below:.10g})"
        most = self.at_most if self.below is None else self.below
        if least is not None and most is not None:
            return f"must lie between {least:.10g} and {most:.10g}"
        if self.above is not None:
            return f"must be above {self.above:.10g}"
        if not least:
            return "must not be negative"
        return f"must be {'a whole number of ' * (self.kinds == {'int'})}at least {least:.10g}"


def option(default: Any, **limits: Any) -> Any:
    """A dataclass field with limits beside its default; see `Field` for them."""
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata={"limits": limits})
    return dataclasses.field(default=default, metadata={"limits": limits})


@functools.cache
def declared(kind: Any) -> dict[str, Field]:
    """The fields of a dataclass by name."""
    return {
        entry.name: Field.of(entry.type, **entry.metadata.get("limits", {}))
        for entry in dataclasses.fields(kind)
    }


def older_names(kind: type) -> dict[str, str]:
    """Older name of a field -> its name."""
    return {older: name for name, field in declared(kind).items() for older in field.older}


def read_fields(record: Any, *, strict: bool = False) -> None:
    """Bring every field of a dataclass, a frozen one too, to what its declaration says.

    Args:
        record: the dataclass.
        strict: refuse a None that is not declared; else it stays.

    Raises:
        ValueError: for the first value that cannot be used; the text names the field.
    """
    for name, field in declared(record.__class__).items():
        value = getattr(record, name)
        if strict and value is None and field.kinds and not field.optional:
            raise ValueError(f"{name} must be {field.wanted()}, got None")
        object.__setattr__(record, name, field.read(name, value))


class Choice(str, Enum):
    """A string from a fixed set; an unknown one is refused with the nearest known one."""

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> Choice:
        names = [member.value for member in cls]
        raise ValueError(f"{value!r} is no {cls.__name__}{did_you_mean(str(value), names)}; one of {names}")


ExplicitEnum = Choice  # the ecosystem's name

# -- annotations ------------------------------------------------------------------------------------


def _as_union(found: re.Match[str]) -> str:
    inner = found.group(1)
    return f"{inner} | None" if inner is not None else " | ".join(_split(found.group(2), ","))


def _split(text: str, mark: str = "|") -> Iterable[str]:
    """Split a union at `mark`, outside brackets."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == mark and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += letter
    yield part.strip()


# -- values from text -------------------------------------------------------------------------------


def _switch(name: str, value: Any) -> bool:
    word = str(value).lower()
    if word not in ("true", "yes", "y", "1", "false", "no", "n", "0"):
        raise ValueError(f"{name} is True or False, got {value!r}")
    return word in ("true", "yes", "y", "1")


def _whole_number(name: str, value: Any) -> int:
    """A whole number; one with a fraction of zero counts, as JSON and YAML may write it so."""
    try:
        number = int(value)
        if isinstance(value, bool) or (not isinstance(value, str) and number != value):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from error
    return number


def _number(name: str, value: Any) -> Any:
    try:
        number = float(value)
        if math.isnan(number):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, got {value!r}") from error
    return number if isinstance(value, str) else value


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "bool": _switch,
    "int": _whole_number,
    "float": _number,
    "str": lambda name, value: value,
}
