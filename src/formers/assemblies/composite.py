"""Models of several families as parts of one: which they are is said by the configs inside its config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from formers.assemblies.base import Assembly, BaseModel, states_of
from formers.core.outputs import ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.tree import has, leaf, place, wiring
from formers.nn.watch import watched
from formers.stacks.stack import Ask, States


class Composite(Assembly):
    """A text model and an image model, each of any family that reads such inputs.

    Args:
        model_of: a config -> the class without a head of its family.
        text: path of the text model, and the field of the config that describes it.
        image: likewise of the image model.

    Attributes:
        sees: what the image model reads.
    """

    sees = "pixel_values"

    def __init__(
        self, model_of: Callable[[Any], type[BaseModel]], text: tuple[str, str], image: tuple[str, str]
    ) -> None:
        self.model_of, self.text, self.image = model_of, text[0], image[0]
        self.fields = dict((text, image))
        self.decodes = self.text

    def part(self, config: Any, name: str) -> tuple[type[BaseModel], Any]:
        """The class and the config of a part."""
        own = getattr(config, self.fields[name])
        return self.model_of(own), own

    def stack(self, config: Any, name: str) -> spec.Stack:
        """The stack of a part."""
        kind, own = self.part(config, name)
        return kind._assembly.spec(own)

    def spec(self, config: Any) -> spec.Stack:
        """The text model's."""
        return self.stack(config, self.text)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the parts under their paths.

        Raises:
            TypeError: for options of a single stack.
            ValueError: for a part that reads something else.
        """
        if pooler or masked:
            raise TypeError(f"add_pooling_layer and use_mask_token are not for {config.model_type!r} models")
        self.join(model, config, {})

    def join(self, model: PreTrainedModel, config: Any, parts: Mapping[str, Any]) -> None:
        """Register the parts under their paths, those that are there already as they are.

        Raises:
            ValueError: for a part that reads something else.
        """
        for name, part in parts.items():
            setattr(config, self.fields[name], part.config)  # which is one object with the part's
        for name in self.fields:
            self._check(config, name)
        for name in self.fields:
            kind, own = self.part(config, name)
            place(model, name, name, parts[name] if name in parts else kind(own, part=True))
        inside = wiring(leaf(model, self.text)).roles.get("token")
        if inside is not None:
            wiring(model).roles["token"] = (self.text, *inside)

    def _check(self, config: Any, name: str) -> None:
        kind, own = self.part(config, name)
        wanted, read = "input_ids" if name == self.text else self.sees, kind._assembly.main
        if read != wanted or kind._assembly.encoder_decoder:
            raise ValueError(
                f"{self.fields[name]} describes a {own.model_type!r} model, which reads {read}; the {name} "
                f"of {config.model_type!r} models is one stack that reads {wanted}"
            )

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The parts."""
        return {name: leaf(model, name) for name in self.fields if has(model, name)}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what the parts do not draw themselves: the config's."""
        return PreTrainedModel._initial_deviations(model)

    def set_table(self, model: Any, value: nn.Module) -> None:
        """Replace the text model's token table."""
        leaf(model, self.text).set_input_embeddings(value)

    def room(self, config: Any) -> int | None:
        """What the text model's positions allow."""
        return self.stack(config, self.text).room

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the parts that a config has by default."""
        config = config_class()
        each = [one for name in self.fields for one in self.stack(config, name).layer_classes]
        return list(dict.fromkeys(each))

    def alone(self, part: str, config_class: type[Any]) -> Assembly:
        """One part, under the path that it has beside the other."""
        return Tower(self, part, config_class)

    def part_of(self, model: Any) -> Any:
        """The text model."""
        return leaf(model, self.text)

    def states(self, model: Any, name: str, given: dict[str, Any], ask: Ask) -> States:
        """What a part computes."""
        ask.padded = watched(model) if ask.padded is None else ask.padded
        return states_of(leaf(model, name), given, ask)

    def record(self, model: Any, name: str, states: States) -> Any:
        """The record that a caller of the part gets."""
        part = leaf(model, name)
        return part._assembly.output(part, states)


class Tower(Composite):
    """One part of a composite under a head: its inputs, its states."""

    def __init__(self, whole: Composite, name: str, config_class: type[Any]) -> None:
        field = (name, whole.fields[name])
        super().__init__(whole.model_of, field, field)
        inner = whole.part(config_class(), name)[0]._assembly
        self.inputs, self.main, self.cache = inner.inputs, inner.main, inner.cache

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part under its path."""
        kind, own = self.part(config, self.text)
        place(model, self.text, self.text, kind(own, part=True))

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """The part's states."""
        return self.states(model, self.text, given, ask)

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the part's own."""
        found: ModelOutput = self.record(model, self.text, states)
        return found
