"""Models one after the other: each makes of what the one before it made what the next reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from formers.assemblies.base import Assembly, assembly_of, initial_deviations, place_parts, ties_within
from formers.model.base import PreTrainedModel
from formers.nn.tree import leaf
from formers.stacks.stack import Ask, States


class SpeechStages(Assembly):
    """Models of other families under their paths, which `generate` asks in turn.

    Args:
        parts: path -> the field of the config that describes the part, and config -> its class.
        settings: how a model generates -> the settings of every stage, that of the first in front.
    """

    inputs: tuple[str, ...] = ("input_ids",)

    def __init__(
        self,
        parts: Mapping[str, tuple[str, Callable[[Any], type[PreTrainedModel]]]],
        settings: Callable[[Any], Any],
    ) -> None:
        self.parts, self.settings = dict(parts), settings

    def spec(self, config: Any) -> Any:
        """The first stage's."""
        field, kind_of = next(iter(self.parts.values()))
        own = getattr(config, field)
        kind: Any = kind_of(own)
        return assembly_of(kind).spec(own)

    def place(
        self,
        model: PreTrainedModel,
        config: Any,
        pooler: bool | None = None,
        masked: bool = False,
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        """Register the parts, those in `parts` as they are."""
        place_parts(model, config, self.parts, parts)

    def stacks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The parts."""
        return {path: leaf(model, path) for path in self.parts}

    def ties(self, model: Any) -> dict[str, str]:
        """Those of the parts, by the names that they have in this tree."""
        return ties_within(self.stacks(model))

    def deviations(self, model: Any) -> tuple[float, Mapping[str, float]]:
        """Parts say theirs."""
        return initial_deviations(model)

    def room(self, config: Any) -> int | None:
        """What the first stage's positions allow."""
        found: int | None = self.spec(config).room
        return found

    def text_options(self, model: Any) -> dict[str, Any]:
        """As long as the first stage reads, without special tokens."""
        length = self.settings(model.generation_config)[0].max_input_semantic_length
        return {
            **{"padding": "max_length", "max_length": length, "add_special_tokens": False},
            **{"return_attention_mask": True, "return_token_type_ids": False},
        }

    def run(self, model: Any, given: dict[str, Any], ask: Ask) -> States:
        """Nothing is computed in one pass.

        Raises:
            NotImplementedError: always, saying what to call.
        """
        raise NotImplementedError(
            f"{type(model).__name__} speaks in stages, each token by token: call generate(); the stages are "
            f"{', '.join(self.parts)}"
        )

    def layer_classes(self, config_class: type[Any]) -> list[str]:
        """Those of the parts."""
        config, found = config_class(), []
        for field, kind_of in self.parts.values():
            own = getattr(config, field)
            kind: Any = kind_of(own)
            found += assembly_of(kind).layer_classes(type(own))
        return list(dict.fromkeys(found))
