"""LoRA put on a model."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from formers.adapters.config import PeftType
from formers.adapters.layer import AdapterLayer, is_transposed
from formers.adapters.lora.layers import wrap
from formers.adapters.tuner import Tuner, by_pattern


class LoraModel(Tuner):
    """A model with LoRA on its leaves."""

    kind: ClassVar[PeftType] = PeftType.LORA
    prefix: ClassVar[str] = "lora_"

    def wrap(self, leaf: nn.Module, config: Any, path: str) -> AdapterLayer | None:
        """Linear leaves, tables and convolutions."""
        config.fan_in_fan_out = is_transposed(leaf)
        return wrap(leaf)

    def settings(self, config: Any, path: str) -> dict[str, Any]:
        """Rank and alpha, which patterns may choose by path."""
        return {
            "r": by_pattern(config.rank_pattern, path, config.r),
            "lora_alpha": by_pattern(config.alpha_pattern, path, config.lora_alpha),
        }
