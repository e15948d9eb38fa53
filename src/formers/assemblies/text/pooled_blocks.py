"""Blocks of layers that read fewer places each, with or without layers over all tokens behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.assemblies.single import Single
from formers.model.base import PreTrainedModel
from formers.nn import spec
from formers.stacks.funnel import place_funnel, run_funnel
from formers.stacks.stack import Ask, Inputs, States


class PooledBlocks(Single):
    """See `spec.Funnel`. The "encoder" alone has the blocks, and returns states of the last one's places."""

    def __init__(self, stack: Callable[[Any], spec.Funnel], whole: bool = True) -> None:
        reads = ("input_ids", "attention_mask", "token_type_ids", "inputs_embeds")
        super().__init__(lambda config: stack(config).first, reads=reads)
        self._funnel, self._whole = stack, whole

    def place(
        self, model: PreTrainedModel, config: Any, pooler: bool | None = None, masked: bool = False
    ) -> None:
        """Register all of it on the model itself."""
        place_funnel(model, self._funnel(config), self._whole)

    def alone(self, part: str, config_class: type[Any]) -> PooledBlocks:
        """The blocks."""
        return PooledBlocks(self._funnel, whole=False)

    def _compute(self, model: Any, inputs: Inputs, ask: Ask) -> States:
        """The last states."""
        return run_funnel(model, inputs, ask, model.gradient_checkpointing)
