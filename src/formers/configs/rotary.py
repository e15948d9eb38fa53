"""The rotary settings of a config: kept in `rope_parameters`, read and shown in both spellings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from formers.configs.checks import FAR

_BASE, _SCALING, _SHARE = "rope_theta", "rope_scaling", "partial_rotary_factor"


class Rotary:
    """What a config that declares `rope_parameters` knows of them.

    Attributes:
        default_rope_type: rule, where none is given.
        default_theta: base, likewise.
        default_share: how many of a head's features are turned, where none is given; None where all are.
        rope_kinds: kinds of layers that have settings of their own -> the older name of their base, and the
            base where none is given. Settings of older files, which name no kind, are the first one's.
    """

    default_rope_type: ClassVar[str] = "default"
    default_theta: ClassVar[float] = 10000.0
    default_share: ClassVar[float | None] = None
    rope_kinds: ClassVar[Mapping[str, tuple[str, float]]] = {}
    attribute_map: ClassVar[Mapping[str, str]]

    @classmethod
    def rope_names(cls) -> tuple[str, ...]:
        """The names by which files before 5.0 know the settings."""
        return (_BASE, _SCALING) if cls.default_share is None else (_BASE, _SCALING, _SHARE)

    def _take_rope(self, kwargs: dict[str, Any]) -> None:
        """Bring both spellings of the rotary settings into `rope_parameters`."""
        for alias, name in self.attribute_map.items():
            if alias in kwargs and name in self.rope_names():
                kwargs[name] = kwargs.pop(alias)
        given = kwargs.pop("rope_parameters", None)
        scaling, theta = kwargs.pop(_SCALING, None), kwargs.pop(_BASE, None)
        share = self.default_share
        if share is not None:
            given_share = kwargs.pop(_SHARE, None)
            share = share if given_share is None else given_share
        for name, value in (("rope_parameters", given), (_SCALING, scaling)):
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"{name} takes a dictionary of settings, not {value!r}")
        if self.rope_kinds:
            bases = {name: kwargs.pop(name, None) for name, _ in self.rope_kinds.values()}
            settings = self._by_kind(given or {}, scaling or {}, {**bases, _BASE: theta})
        else:
            settings = dict(scaling or given or self.__dict__["rope_parameters"] or {})
        nested = [value for value in settings.values() if isinstance(value, dict)]
        for part in nested or [settings]:
            older_kind = part.get("type")
            part.setdefault("rope_type", older_kind or self.default_rope_type)
            part.setdefault(_BASE, (given or {}).get(_BASE, theta or self.default_theta))
            if share is not None:
                part.setdefault(_SHARE, share)
            elif part.get(_SHARE) not in (None, 1.0):
                raise ValueError(
                    f"{_SHARE}={part[_SHARE]} is not available for {type(self).__name__}: its models "
                    f"turn all features of a head"
                )
            for name, value in part.items():
                numbers = value if isinstance(value, list) else [value]
                if any(isinstance(n, (int, float)) and not abs(n) < FAR for n in numbers):
                    raise ValueError(f"the rotary setting {name} must be finite and below {FAR:g}")
        self.__dict__["rope_parameters"] = settings

    def _by_kind(
        self, given: Mapping[str, Any], scaling: Mapping[str, Any], bases: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The settings of every kind of layer."""
        named = any(isinstance(value, Mapping) for value in given.values())
        found: dict[str, Any] = {}
        for kind, (older, base) in self.rope_kinds.items():
            own = given.get(kind) if named else {} if found else given
            more = {} if found else scaling
            found[kind] = {_BASE: bases[older] or base, **(own or {}), **more}
        return found

    def _older_rope(self, written: dict[str, Any]) -> dict[str, Any]:
        """The settings as readers before 5.0 look for them, where `written` has them not."""
        settings = self.__dict__.get("rope_parameters") or {}
        if any(isinstance(value, dict) for value in settings.values()):
            return {}  # of several kinds of layers: those readers have no place for them
        aliases = {name: alias for alias, name in self.attribute_map.items()}
        shown = {}
        for name in self.rope_names():
            value = getattr(self, name, None)
            if name == _SCALING and value is not None:  # those readers look for no base in there
                value = {key: kept for key, kept in value.items() if key not in (_BASE, _SHARE)}
            if name == _SCALING or value is not None:
                shown[aliases.get(name, name)] = value
        return {name: copy.deepcopy(value) for name, value in shown.items() if name not in written}


def read_rope(config: Rotary, name: str) -> Any:
    """The value of an older name, out of `rope_parameters`."""
    settings = config.__dict__.get("rope_parameters") or {}
    if name != _SCALING:
        return settings.get(name)
    # the settings themselves, so that a change to them counts; None where nothing is scaled
    plain = settings.get("rope_type", config.default_rope_type) == config.default_rope_type
    return None if plain and settings.keys() <= {"rope_type", _BASE, _SHARE} else settings


def write_rope(config: Rotary, value: Any, name: str) -> None:
    """Set `rope_parameters` by an older name."""
    settings = dict(config.__dict__.get("rope_parameters") or {})
    if name != _SCALING:
        settings[name] = value
    else:
        value = value or {}
        kept = {key: settings[key] for key in (_BASE, _SHARE) if key in settings}
        usual = {"rope_type": value.get("type", config.default_rope_type), _BASE: config.default_theta}
        settings = {**usual, **kept, **value}
    config.__dict__["rope_parameters"] = settings
