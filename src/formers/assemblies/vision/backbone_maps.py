"""A model of another family, or of the same, gives maps to what stands beside it: UPerNet, DPT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from formers.assemblies.base import Assembly, assembly_of, initial_deviations, states_in
from formers.assemblies.single import Single
from formers.core.outputs import BaseModelOutput, ModelOutput
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.nn.stems.feature_map_patches import MAPS
from formers.nn.tree import has, leaf, place, wiring
from formers.stacks.stack import Ask, Inputs, States

Holds = Callable[[Any], tuple[str, type[Any], Any]]


class BackboneMaps(Assembly):
    """One model that gives maps, in `states.extras["maps"]`: its own where it has such, or its hidden states.

    Args:
        holds: config -> the path under which it stands, its class and its config.
    """

    inputs = ("pixel_values", "output_attentions", "output_hidden_states", "return_dict")
    main = "pixel_values"
    means: Mapping[str, str] = MappingProxyType({"pixel_values": "[B, channels, height, width], floating."})

    def __init__(self, holds: Holds) -> None:
        self.holds = holds

    def spec(self, config: Any) -> Any:
        """The part's."""
        _, kind, own = self.holds(config)
        return assembly_of(kind).spec(own)

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register the part."""
        path, kind, own = self.holds(config)
        part = kind(own) if own is not config else kind(own, False, part=True)
        place(model, "part", path, part)

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Call the part."""
        wanted = {"output_attentions": ask.attentions, "output_hidden_states": ask.hidden}
        part = leaf(model, "part")
        known = {name: value for name, value in wanted.items() if name in assembly_of(part).inputs}
        out = part(given["pixel_values"], **known, return_dict=True)
        maps = out.get("feature_maps") or (*(out.get("intermediate_activations") or ()), *out.hidden_states)
        states = states_in(
            BaseModelOutput(maps[-1].flatten(2), hidden_states=out.hidden_states, attentions=out.attentions)
        )
        states.extras["maps"] = maps
        return states

    def output(self, model: Any, states: States) -> ModelOutput:
        """As the part's own."""
        part = leaf(model, "part")
        found: ModelOutput = assembly_of(part).output(part, states)
        return found

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states and attention weights."""
        return {"hidden_states": states.hidden, "attentions": states.attentions}

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The part, by its path."""
        return {wiring(model).roles["part"][0]: leaf(model, "part")} if has(model, "part") else {}

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Of what stands beside the part."""
        return initial_deviations(model)

    def room(self, config: Any) -> int | None:
        """Nothing bounds it."""
        return None

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the part that a config has by default."""
        return list(self.spec(config_class()).layer_classes)


class OwnMaps(Single):
    """A stack whose hidden states are maps, or rows of patches, to heads over its "maps".

    Args:
        stack, stem, more: see `Single`.
        holds: see `BackboneMaps`.
    """

    def __init__(
        self, stack: Callable[[Any], spec.Stack], stem: type[Any], holds: Holds, **more: Any
    ) -> None:
        super().__init__(stack, stem, **more)
        self.holds = holds

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """With the first maps of a network that the stem asks."""
        states = super()._compute(model, inputs, ask)
        maps = states.pass_.memo.get(MAPS)
        if maps is not None:
            states.extras["intermediate_activations"] = list(maps[:-1])
        return states

    def alone(self, part: str, config_class: type[Any]) -> Any:
        """The model that gives maps, for a head that holds it under a path."""
        return BackboneMaps(self.holds) if part == "maps" else super().alone(part, config_class)
