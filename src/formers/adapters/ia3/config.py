"""(IA)^3's config (Liu et al. 2022, arXiv:2205.05638)."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.adapters.config import PeftType, TargetedConfig, declared


@declared
class IA3Config(TargetedConfig):
    """A factor for every feature that a targeted leaf makes, or reads.

    Attributes:
        feedforward_modules: ends of paths, or an expression, of targets whose input is scaled; of the others
            it is the result. None, with no targets: keys and values, and what a feed-forward ends with.
        fan_in_fan_out: the weight is stored [in, out]; read off the leaf.
        init_ia3_weights: begin with ones; else the factors are drawn.
    """

    kind: ClassVar[PeftType | None] = PeftType.IA3
    own: ClassVar[tuple[str, ...]] = ("layers_to_transform", "layers_pattern")

    feedforward_modules: Any = None
    fan_in_fan_out: bool = False
    init_ia3_weights: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.feedforward_modules
        self.feedforward_modules = set(given) if isinstance(given, (list, tuple)) else given
