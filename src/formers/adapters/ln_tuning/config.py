"""The config of tuned norms (Zhao et al. 2023, arXiv:2312.11420)."""

from __future__ import annotations

from typing import ClassVar

from formers.adapters.config import PeftType, TargetedConfig, declared


@declared
class LNTuningConfig(TargetedConfig):
    """Copies of the targeted modules are trained; where none are named, of all norms."""

    kind: ClassVar[PeftType | None] = PeftType.LN_TUNING
    own: ClassVar[tuple[str, ...]] = ("layers_to_transform", "layers_pattern")
