"""LoRA put on a model."""

from __future__ import annotations

from collections.abc import Sequence
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
        return dict(zip(("r", "lora_alpha"), rank_and_alpha(config, path), strict=True))

    def add_weighted_adapter(
        self,
        adapters: Sequence[str],
        weights: Sequence[float],
        adapter_name: str,
        combination_type: str = "svd",
        svd_rank: int | None = None,
        svd_clamp: float | None = None,
        density: float | None = None,
        majority_sign_method: str = "total",
    ) -> None:
        """Make a new adapter out of others; `set_adapter` makes it the active one.

        Args:
            adapters: names of those that make it up.
            weights: how much each counts.
            adapter_name: of the new one; where it is there already, nothing is done.
            combination_type: "cat" and "svd" are the weighted sum, "cat" with all their ranks; "linear",
                "ties", "dare_linear", "dare_ties" and "magnitude_prune" put A and B together by themselves;
                the last four with "_svd" behind, the products.
            svd_rank: rank of what is decomposed; the highest of theirs by default.
            svd_clamp: quantile of the numbers that the decomposition is cut at.
            density: share of the numbers that stay, where some are taken away.
            majority_sign_method: TIES counts signs by "total" or "frequency".

        Raises:
            ValueError: for what cannot be put together.
        """
        from formers.adapters.lora.weighted import add_weighted

        if adapter_name not in self.peft_config:
            how = (svd_rank, svd_clamp, density, majority_sign_method)
            add_weighted(self, adapters, weights, adapter_name, combination_type, *how)


def rank_and_alpha(config: Any, path: str) -> tuple[int, float]:
    """Rank and alpha of a leaf, as a config says by its path."""
    rank = by_pattern(config.rank_pattern, path, config.r)
    return rank, by_pattern(config.alpha_pattern, path, config.lora_alpha)
