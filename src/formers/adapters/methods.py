"""Which tuner puts a method's adapters on a model."""

from __future__ import annotations

import importlib
from typing import Any

from formers.adapters.config import HOMES, PeftType
from formers.adapters.tuner import Tuner


def tuner_for(config: Any) -> type[Tuner]:
    """The class that puts a config's adapters on a model."""
    folder, name = HOMES[PeftType(config.peft_type)]
    found: type[Tuner] = getattr(importlib.import_module(f"formers.adapters.{folder}.model"), name)
    return found


def tuner_of(model: Any) -> Tuner:
    """The tuner of a model with adapters, or one around the adapters that were put into it.

    Raises:
        ValueError: where there are none.
    """
    held = model._modules.get("base_model")
    if isinstance(held, Tuner):
        return held
    configs = model.__dict__.get("peft_config")
    if not configs:
        raise ValueError("No adapter loaded. Please load an adapter first.")
    return tuner_for(next(iter(configs.values()))).around(model)
