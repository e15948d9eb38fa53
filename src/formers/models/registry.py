"""Registering is enrolling: classes, Auto tables, names and parity tests are derived from this registry."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from formers.core.notices import did_you_mean
from formers.hub.gguf import INSTEAD, model_type_of
from formers.models.table import ABSENT, FAMILIES, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from formers.assemblies.family import Family
    from formers.configs import PretrainedConfig

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
    family.assembly.known_as(family_of, family.model_type)
    room, _, file = family.config.__module__.rpartition(".")
    if room == "formers.models" and family.model_type.replace("-", "_").startswith(file):
        _hold_older_paths(sys.modules[family.config.__module__])
    return family


def _hold_older_paths(module: ModuleType) -> None:
    """Make a family's file a package to the import system, which gives the family's classes.

    `formers.models.bert.modeling_bert` lies below it then (`formers.paths`).
    """
    classes = f"{module.__name__}.modeling_{module.__name__.rpartition('.')[2]}"

    def find(name: str) -> Any:
        if re.match("(modeling|(generation_)?configuration|tokenization)_", name):
            return importlib.import_module(f"{module.__name__}.{name}")
        if name[:1].isupper():
            return getattr(importlib.import_module(classes), name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__path__ = []
    module.__dict__["__getattr__"] = find


def family_of(model_type: str) -> Family:
    """The family of a `model_type`.

    Raises:
        ValueError: for an unknown one, with the nearest known.
    """
    if model_type not in _registered and model_type in FAMILIES:
        importlib.import_module(f"formers.models.{FAMILIES[model_type][0]}")
    if model_type not in _registered:
        if model_type in ABSENT:
            raise ValueError(
                f"model type {model_type!r} is not available: {ABSENT[model_type]} not part of this version"
            )
        known = sorted({*FAMILIES, *_registered})
        raise ValueError(
            f"model type {model_type!r} is not available{did_you_mean(model_type, known)}; "
            f"available: {', '.join(known)}"
        )
    return _registered[model_type]


def named_in_gguf(architecture: str) -> str:
    """The model type of what a GGUF file calls a kind of model: `qwen2moe` -> `qwen2_moe`.

    Raises:
        ValueError: for an unknown one.
    """
    found = model_type_of(architecture, FAMILIES)
    if found is None:
        raise ValueError(
            f"a GGUF file of the architecture {architecture!r} is not read"
            f"{did_you_mean(architecture, FAMILIES)}: load the checkpoint that it was made from. Read are "
            f"{', '.join(sorted(WRITTEN.values()))}, and others that are called as a model type is"
        )
    return found


def called_in_gguf(model_type: str) -> str:
    """What a GGUF file calls a model type.

    Raises:
        ValueError: for one of which no files are written.
    """
    if model_type not in WRITTEN:
        raise ValueError(
            f"GGUF files are written of {', '.join(sorted(WRITTEN))}, not of {model_type!r}: {INSTEAD}"
        )
    return WRITTEN[model_type]


def config_class(values: Mapping[str, Any]) -> type[PretrainedConfig]:
    """Of the family that a part's values say it is."""
    return family_of(values["model_type"]).config


def config_of(name: Any, **options: Any) -> tuple[PretrainedConfig, dict[str, Any]]:
    """The config in a folder or on the Hub, with fields set, and the keywords that were for neither."""
    from formers.configs import PretrainedConfig
    from formers.hub import split_hub_keywords

    hub, _ = split_hub_keywords(dict(options))
    kind = config_class(PretrainedConfig.get_config_dict(name, **hub)[0])
    config, unused = kind.from_pretrained(name, **options, return_unused_kwargs=True)
    return config, {**hub, **unused}


def families() -> list[Family]:
    """All families, in order of their names."""
    return [family_of(model_type) for model_type in sorted({*FAMILIES, *_registered})]
