"""One stack over characters and over groups of them: CANINE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from torch import nn

from formers.assemblies.single import Single
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.stacks.character_downsampling import place_downsampled, run_downsampled
from formers.stacks.stack import Ask, Inputs, States


class Downsampled(Single):
    """See `spec.Downsampled`."""

    def __init__(self, stack: Callable[[Any], spec.Downsampled]) -> None:
        reads = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
        super().__init__(lambda config: stack(config).first, spec.Characters, reads=reads)
        self._whole = stack

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all of it on the model itself."""
        place_downsampled(model, self._whole(config), pooler is not False)

    def set_table(self, model: Any, value: nn.Module) -> NoReturn:
        """Refuse.

        Raises:
            ValueError: always.
        """
        raise ValueError("this model has no table of tokens that could be replaced: characters are hashed")

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """The last states, over characters."""
        return run_downsampled(model, inputs, ask, model.gradient_checkpointing)
