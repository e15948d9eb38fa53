"""A model of any family under a head of another: which it is is said by a config inside the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from formers.assemblies.base import Assembly, BaseModel, states_of
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.tree import leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class Within(Assembly):
    """One model, which reads what it reads by itself.

    Args:
        model_of: a config -> the class without a head of its family.
        path: where it lies.
        field: of the config that describes it.
        like: an assembly that reads the same.
        unread: names of that one's inputs that this one does not take.
        reads: config, what is given -> what the model inside is given.
    """

    def __init__(
        self,
        model_of: Callable[[Any], type[BaseModel]],
        path: str,
        field: str,
        like: Assembly,
        unread: tuple[str, ...] = (),
        reads: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self.model_of, self.path, self.field, self._like = model_of, path, field, like
        self._reads = reads
        self.inputs = tuple(name for name in like.inputs if name not in unread)
        self.main, self.means, self.once = like.main, like.means, like.once

    def _own(self, config: Any) -> tuple[type[BaseModel], Any]:
        own = getattr(config, self.field)
        kind = self.model_of(own)
        if type(kind._assembly) is not type(self._like):
            raise ValueError(
                f"{self.field} describes a {own.model_type!r} model, which does not read what "
                f"{config.model_type!r} models do: {', '.join(self.inputs[:3])}, ..."
            )
        return kind, own

    def spec(self, config: Any) -> spec.Stack:
        """The model's."""
        kind, own = self._own(config)
        return kind._assembly.spec(own)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register it under its path."""
        kind, own = self._own(config)
        place(model, "inner", self.path, kind(own, part=True))
        wiring(model).roles["token"] = (self.path, *wiring(leaf(model, "inner")).roles["token"])

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """What it computes."""
        ask.padded = watched(model) if ask.padded is None else ask.padded
        given = given if self._reads is None else self._reads(model.config, given)
        return states_of(leaf(model, "inner"), given, ask)

    def output(self, model: Any, states: States) -> ModelOutput:
        """As its own."""
        inner = leaf(model, "inner")
        found: ModelOutput = inner._assembly.output(inner, states)
        return found

    def passed_on(self, states: States) -> dict[str, Any]:
        """As it passes on by itself."""
        return self._like.passed_on(states)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The model."""
        return {self.path: leaf(model, "inner")}

    def mask_of(self, model: Any, given: Mapping[str, Any]) -> Tensor | None:
        """As it has it."""
        return self._like.mask_of(model, given)

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what the model does not draw itself: the config's."""
        return PreTrainedModel._initial_deviations(model)

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace its token table."""
        leaf(model, "inner").set_input_embeddings(value)

    def room(self, config: Any) -> int | None:
        """What its positions allow."""
        kind, own = self._own(config)
        return kind._assembly.room(own)

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the model that a config has by default."""
        kind, own = self._own(config_class())
        return kind._assembly.layer_classes(type(own))
