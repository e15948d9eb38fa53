"""What a family file registers: a frozen record from which classes, Auto tables and tests are derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from formers.assemblies.base import Assembly
from formers.checkpoints import Rename
from formers.configs import GenerationConfig, PretrainedConfig


@dataclass(frozen=True)
class Head:
    """A task over a family.

    Attributes:
        task: key of the task, in `tasks.table`.
        spec: config -> the task's own spec: its paths, and what of the config it needs.
        base: attribute that holds the base model under this head, where it is not the family's.
        pooler: the base model keeps its pooler under this head.
        over: which part the head reads: the "encoder" or "decoder" of such a pair, or a tower by name.
        flat: the base model's parts are registered on the head's own model, without a prefix.
        whole: it reads all rows, where the family's heads for tokens read those of the text alone.
        brief: what it returns of a pair are the decoder's states, by the names that a single stack's have.
        other: model type of the family whose class without a head does the task for these configs too.
        unsaved: names of tables with fixed values that files of this head do not hold.
        marks: which tokens see all, and are seen by all, where the caller does not say: the first, those of
            the question, or those behind it.
        sets: fields of the config as models with this head have them, whatever it says.
    """

    task: str
    spec: Callable[[Any], Any]
    base: str | None = None
    pooler: bool = False
    over: str = "whole"
    flat: bool = False
    unsaved: tuple[str, ...] = ()
    marks: Literal["", "first", "question", "choice"] = ""
    brief: bool = False
    whole: bool = False
    other: str = ""
    sets: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, eq=False)
class Family:
    """One architecture family.

    Attributes:
        model_type: the config's `model_type`.
        name: how its class names begin, `Bert`.
        config: its config class.
        base: attribute under which a head model holds the base model, `bert`.
        assembly: which stacks it has, config -> spec, and how they work together.
        heads: class-name ending (or a whole class name) -> head; `Model` has one where it does a task itself.
        settings: classes that say how its models generate, where they have fields of their own.
        spelt: class-name endings -> whole class names, where those do not begin with `name` alone.
        renames: older spellings of parameter names.
        bare: ending of the class without a head; empty where there is no such class.
        ignored: templates of names in checkpoints that hold nothing to load.
        order: children of one module in the order in which the ecosystem's class makes them, where that is
            not the order in which they run: `optimizer.pt` counts parameters in it. Parameters of the
            module's own come before its children, unless they are named here. Where the first entry ends in
            a colon the others are for modules of the class of that name alone.
        gguf: architecture in a GGUF file -> role -> how such files hold its weight: the features that a
            rotary rule turns together lie in `pairs`; queries, keys and values lie in `blocks`.
        aliases: newer attribute paths of the ecosystem -> paths of the checkpoint's tree; `{i}` is a number.
    """

    model_type: str
    name: str
    config: type[PretrainedConfig]
    base: str
    assembly: Assembly
    heads: Mapping[str, Head]
    renames: tuple[Rename, ...] = ()
    bare: str = "Model"
    ignored: tuple[str, ...] = ()
    order: tuple[tuple[str, ...], ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    gguf: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    spelt: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    settings: tuple[type[GenerationConfig], ...] = ()

    def class_name(self, ending: str) -> str:
        """`ForMaskedLM` -> `BertForMaskedLM`; an ending that holds the family's name stays as it is."""
        if ending in self.spelt:
            return self.spelt[ending]
        if ending == "Model":
            ending = self.bare
        return ending if ending.startswith(self.name) else self.name + ending

    def max_tokens(self, config: Any) -> int | None:
        """How many tokens a row may have; None where nothing bounds it."""
        return self.assembly.room(config)
