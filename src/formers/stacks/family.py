"""What a family file registers: a frozen record from which classes, Auto tables and tests are derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from formers.checkpoints import Rename
from formers.configs import PretrainedConfig
from formers.nn import spec
from formers.nn.heads import Head


@dataclass(frozen=True, eq=False)
class Family:
    """One architecture family.

    Attributes:
        model_type: the config's `model_type`.
        name: how its class names begin, `Bert`.
        config: its config class.
        base: attribute under which a head model holds the base model, `bert`.
        stack: config -> the stack's spec; for an encoder-decoder, config -> (encoder, decoder).
        heads: class-name ending (or a whole class name) -> head.
        renames: older spellings of parameter names.
        ignored: templates of names in checkpoints that hold nothing to load.
        order: children of one module in the order in which the ecosystem's class makes them, where that is
            not the order in which they run: `optimizer.pt` counts parameters in it.
        extra: further numbers that tasks read, by name.
    """

    model_type: str
    name: str
    config: type[PretrainedConfig]
    base: str
    stack: Callable[[Any], spec.Stack] | Callable[[Any], tuple[spec.Stack, spec.Stack]]
    heads: Mapping[str, Head]
    encoder_decoder: bool = False
    renames: tuple[Rename, ...] = ()
    ignored: tuple[str, ...] = ()
    order: tuple[tuple[str, ...], ...] = ()
    shared: str | None = None
    split: tuple[str, ...] = ("Layer",)
    inputs: tuple[str, ...] = field(default=("input_ids",))
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def class_name(self, ending: str) -> str:
        """`ForMaskedLM` -> `BertForMaskedLM`; an ending that holds the family's name stays as it is."""
        return ending if ending.startswith(self.name) else self.name + ending
