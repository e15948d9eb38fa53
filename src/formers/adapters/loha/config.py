"""LoHa's config (FedPara, Hyeon-Woo et al. 2021, arXiv:2108.06098)."""

from __future__ import annotations

from typing import ClassVar

from formers.adapters.config import PeftType, declared
from formers.adapters.lycoris import LycorisConfig


@declared
class LoHaConfig(LycorisConfig):
    """The change is the product, number by number, of two products of thin matrices."""

    kind: ClassVar[PeftType | None] = PeftType.LOHA
