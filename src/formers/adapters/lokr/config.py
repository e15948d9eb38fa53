"""LoKr's config (Yeh et al. 2023, arXiv:2309.14859)."""

from __future__ import annotations

from typing import ClassVar

from formers.adapters.config import PeftType, declared
from formers.adapters.lycoris import LycorisConfig


@declared
class LoKrConfig(LycorisConfig):
    """The change is a Kronecker product of two matrices, the larger one of low rank.

    Attributes:
        init_weights: also "lycoris": the second factor begins with zeros, in place of the first.
        decompose_both: the first factor is of low rank too.
        decompose_factor: into what widths are divided; -1 for near their square roots.
        rank_dropout_scale: rows that stay are scaled up for those that are left out.
    """

    kind: ClassVar[PeftType | None] = PeftType.LOKR

    decompose_both: bool = False
    decompose_factor: int = -1
    rank_dropout_scale: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_weights not in (True, False, "lycoris"):
            raise ValueError(f"init_weights is True, False or 'lycoris', not {self.init_weights!r}")
