"""One stack over a text and the entities in it: LUKE."""

from __future__ import annotations

from typing import Any

from torch import nn

from formers.assemblies.base import owner_of
from formers.assemblies.single import Single
from formers.core.outputs import ModelOutput
from formers.model.initialise import mark_filled
from formers.nn.tree import leaf, path_of, place
from formers.stacks.stack import States


def _table(model: Any) -> nn.Module:
    """The table of entities."""
    found: nn.Module = leaf(owner_of(model), "entity")
    return found


def _set_table(model: Any, value: nn.Module) -> None:
    """Replace the table of entities."""
    owner = owner_of(model)
    mark_filled(value)
    place(owner, "entity", path_of(owner, "entity"), value)


class EntityAware(Single):
    """A stack that also reads entities, and returns their states beside those of the text."""

    offers = {"get_entity_embeddings": _table, "set_entity_embeddings": _set_table}

    def output(self, model: Any, states: States) -> ModelOutput:
        """With what the entities became, where there are any."""
        made = super().output(model, states)
        for name, value in states.extras.items():
            made[name] = value
        return made

    def passed_on(self, states: States) -> dict[str, Any]:
        """Hidden states of entities."""
        own = {"entity_hidden_states": states.extras.get("entity_hidden_states")}
        return {**super().passed_on(states), **own}
