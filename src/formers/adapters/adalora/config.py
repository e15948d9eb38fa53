"""AdaLoRA's config (Zhang et al. 2023, arXiv:2303.10512)."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.adapters.config import PeftType, check_ranks, declared
from formers.adapters.lora.config import LoraConfig


@declared
class AdaLoraConfig(LoraConfig):
    """LoRA as singular values and vectors; those that matter least are taken away while it trains.

    Attributes:
        target_r: the mean rank that stays.
        init_r: the rank of every leaf at first, in place of `r`.
        tinit, tfinal: steps before the ranks shrink, and after.
        deltaT: steps between two allocations.
        beta1, beta2: of the running means of sensitivity and of its uncertainty.
        orth_reg_weight: of what keeps the vectors orthogonal, in the loss.
        total_step: steps of the whole training.
        rank_pattern: path of a leaf's values -> which of them stay; written by the method.
    """

    kind: ClassVar[PeftType | None] = PeftType.ADALORA
    own: ClassVar[tuple[str, ...]] = ()

    rank_pattern: Any = None
    target_r: int = 8
    init_r: int = 12
    tinit: int = 0
    tfinal: int = 0
    deltaT: int = 1
    beta1: float = 0.85
    beta2: float = 0.85
    orth_reg_weight: float = 0.5
    total_step: int | None = None

    def _settle_ranks(self) -> None:
        check_ranks(self.init_r, self.target_r)
        if self.use_dora or self.lora_bias or not isinstance(self.init_lora_weights, bool):
            raise ValueError("ADALORA has no use_dora, no lora_bias, and init_lora_weights of True or False")
        if not self.total_step or self.total_step <= 0:
            raise ValueError("AdaLoRA does not work when `total_step` is None, supply a value > 0.")
        if self.orth_reg_weight < 0:
            raise ValueError(f"orth_reg_weight must not be negative, got {self.orth_reg_weight}")
        if self.tinit >= self.total_step - self.tfinal:
            raise ValueError(
                "tinit, tfinal and total_step leave no steps in which ranks shrink: make total_step larger"
            )
