"""Short names of trials: the settings that are not the usual ones, with their keys cut short."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar


class TrialShortNamer:
    """Names trials by their settings, and reads the names again. A subclass says DEFAULTS.

    Attributes:
        PREFIX: what names begin with.
        DEFAULTS: settings -> their usual values, which no name shows.
    """

    PREFIX: ClassVar[str] = "hp"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def set_defaults(cls, prefix: str, defaults: Mapping[str, Any]) -> None:
        """Say what names begin with, and the usual values."""
        cls.PREFIX, cls.DEFAULTS = prefix, defaults

    @classmethod
    def shortname(cls, params: Mapping[str, Any]) -> str:
        """The name of a trial.

        Raises:
            ValueError: for a setting without a usual value, or whose key has a digit.
        """
        keys = cls._keys()
        parts = [cls.PREFIX]
        for key, value in params.items():
            if key not in keys:
                raise ValueError(
                    f"DEFAULTS of {cls.__name__} has no {key!r}, which a trial sets to {value!r}"
                )
            if value != cls.DEFAULTS[key]:
                value = int(value) if isinstance(value, bool) else value
                parts.append(f"{keys[key]}{'' if isinstance(value, int | float) else '-'}{value}")
        return "_".join(parts)

    @classmethod
    def parse_repr(cls, repr: str) -> dict[str, Any]:
        """The settings that a name says; numbers are floats.

        Raises:
            ValueError: for a name that no trial has.
        """
        known = {short: key for key, short in cls._keys().items()}
        found = dict(cls.DEFAULTS)
        for part in repr.removeprefix(cls.PREFIX).split("_")[1:]:
            told = re.fullmatch(r"([^-\d.]+)(?:-(.*)|([\d.]+))", part)
            if told is None or told[1] not in known:
                raise ValueError(f"{part!r} in {repr!r} is no setting of {cls.__name__}")
            found[known[told[1]]] = float(told[3]) if told[2] is None else told[2]
        return found

    @classmethod
    def _keys(cls) -> dict[str, str]:
        """Setting -> its key in names: the first letters of its words, as few as tell words apart."""
        words: dict[str, str] = {}
        keys: dict[str, str] = {}
        for key in cls.DEFAULTS:
            if re.search(r"\d", key):
                raise ValueError(f"keys of trials have no digits, which {key!r} of {cls.__name__} has")
            for word in key.split("_"):
                words.setdefault(word, _shortened(word, words.values()))
            short = "".join(words[word] for word in key.split("_"))
            keys[key] = short if short not in keys.values() else key.replace("_", "")
        return keys


def _shortened(word: str, taken: Collection[str]) -> str:
    """The fewest first letters of a word that no other word is cut to; capitals behind it where all are."""
    starts = (word[:end] for end in range(1, len(word) + 1))
    more = (word + chr(ord("A") + i) for i in range(26))
    return next(one for one in (*starts, *more) if one not in taken)
