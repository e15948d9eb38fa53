"""The rotary settings of a config: kept in `rope_parameters`, read and shown in both spellings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from formers.configs.checks import FAR

OLDER_NAMES = ("rope_theta", "rope_scaling")


class Rotary:
    """What a config that declares `rope_parameters` knows of them."""

    default_theta: ClassVar[float] = 10000.0

    def _take_rope(self, kwargs: dict[str, Any]) -> None:
        """Bring both spellings of the rotary settings into `rope_parameters`."""
        given = kwargs.pop("rope_parameters", None)
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", None)
        for name, value in (("rope_parameters", given), ("rope_scaling", scaling)):
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"{name} takes a dictionary of settings, not {value!r}")
        settings = dict(scaling or given or self.__dict__["rope_parameters"] or {})
        nested = [value for value in settings.values() if isinstance(value, dict)]
        for part in nested or [settings]:
            older_kind = part.get("type")
            part.setdefault("rope_type", older_kind or "default")
            part.setdefault("rope_theta", (given or {}).get("rope_theta", theta or self.default_theta))
            for name, value in part.items():
                numbers = value if isinstance(value, list) else [value]
                if any(isinstance(n, (int, float)) and not abs(n) < FAR for n in numbers):
                    raise ValueError(f"the rotary setting {name} must be finite and below {FAR:g}")
        self.__dict__["rope_parameters"] = settings

    def _older_rope(self, written: dict[str, Any]) -> dict[str, Any]:
        """The settings as readers before 5.0 look for them, where `written` has them not."""
        settings = self.__dict__.get("rope_parameters") or {}
        if any(isinstance(value, dict) for value in settings.values()):
            return {}  # of several kinds of layers: those readers have no place for them
        theta, scaling = (getattr(self, name, None) for name in OLDER_NAMES)
        if scaling is not None:  # those readers look for no base in there
            scaling = {name: value for name, value in scaling.items() if name != "rope_theta"}
        shown = {"rope_scaling": scaling} | ({} if theta is None else {"rope_theta": theta})
        return {name: copy.deepcopy(value) for name, value in shown.items() if name not in written}


def read_rope(config: Rotary, name: str) -> Any:
    """The value of an older name, out of `rope_parameters`."""
    settings = config.__dict__.get("rope_parameters") or {}
    if name == "rope_theta":
        return settings.get("rope_theta")
    # the settings themselves, so that a change to them counts; None where nothing is scaled
    plain = settings.get("rope_type", "default") == "default"
    return None if plain and settings.keys() <= {"rope_type", "rope_theta"} else settings


def write_rope(config: Rotary, value: Any, name: str) -> None:
    """Set `rope_parameters` by an older name."""
    settings = dict(config.__dict__.get("rope_parameters") or {})
    if name == "rope_theta":
        settings["rope_theta"] = value
    else:
        theta = settings.get("rope_theta", config.default_theta)
        value = value or {}
        settings = {"rope_type": value.get("type", "default"), "rope_theta": theta, **value}
    config.__dict__["rope_parameters"] = settings
