"""Registering is enrolling: classes, Auto tables, names and parity tests are derived from this registry."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from formers.core.notices import did_you_mean
from formers.models.table import FAMILIES

if TYPE_CHECKING:
    from formers.assemblies.family import Family

_registered: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Enrol a family.

    Raises:
        ValueError: when the model type is taken by another family, or its config disagrees.
    """
    held = _registered.get(family.model_type)
    if held is not None and held.config is not family.config:
        raise ValueError(f"model type {family.model_type!r} is registered already, by {held.config.__name__}")
    if family.config.model_type != family.model_type:
        raise ValueError(f"{family.config.__name__} says model_type {family.config.model_type!r}")
    _registered[family.model_type] = family
    home = family.config.__module__
    if home.startswith("formers.models."):  # older paths lie below it: `formers.models.bert.modeling_bert`
        sys.modules[home].__path__ = []
    return family


def family_of(model_type: str) -> Family:
    """The family of a `model_type`.

    Raises:
        ValueError: for an unknown one, with the nearest known.
    """
    if model_type not in _registered and model_type in FAMILIES:
        importlib.import_module(f"formers.models.{FAMILIES[model_type][0]}")
    if model_type not in _registered:
        known = sorted({*FAMILIES, *_registered})
        raise ValueError(
            f"model type {model_type!r} is not available{did_you_mean(model_type, known)}; "
            f"available: {', '.join(known)}"
        )
    return _registered[model_type]


def families() -> list[Family]:
    """All families, in order of their names."""
    return [family_of(model_type) for model_type in sorted({*FAMILIES, *_registered})]
