"""Attention that looks at a few places of several maps."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.attention import Attention
from formers.nn.spec.values import SlotSpec


@dataclass(frozen=True)
class Deformable(Attention):
    """Attention to a few places of maps, at learned offsets from where a query stands.

    Zhu et al. 2020, arXiv:2010.04159, section 4.1. What is read is maps laid end to end, [B, S, E]; the pass
    holds under `looked` where they lie and where queries stand (`nn.mixers.deformable.Looked`). Roles:
    `offsets`, `weights`, `v`, `o`; those of a stack that asks another begin with `cross_`.

    Attributes:
        levels: L, maps; `points`, P, places of each that a head looks at.
        reach: of a query that stands in a box, this share of the box's size is one offset, spread over P.
        nearest: a place takes the value of the nearest one of its map, not of the four around it.
        flat: whoever looks at weights sees [B, T, H, L * P], not [B, T, H, L, P].
        shares: the file holds what the offsets of each place are multiplied by, [L * P] (role
            `points_scale`), where a query stands in a box; it is not trained.
    """

    levels: int = 4
    points: int = 4
    reach: float = 0.5
    nearest: bool = False
    flat: bool = False
    shares: bool = False

    def __post_init__(self) -> None:
        if self.fused or self.rotary is not None or self.qk_norm is not None or self.gated:
            raise ValueError("places that are looked at have no keys: nothing to fuse, to turn or to norm")
        if self.heads.query != self.heads.key_value:
            raise ValueError("every head looks at values of its own")
        if self.levels < 1 or self.points < 1:
            raise ValueError(f"a head looks at 1 place of 1 map at least, not {self.points} of {self.levels}")

    @property
    def honours_masks(self) -> bool:
        """A stack's own rows are hidden by zeros alone; what asks another is hidden by other parts."""
        return self.cross

    @property
    def reads_padding(self) -> bool:
        """Places count rows, also those of padding, whose values are zero."""
        return True

    @property
    def slot(self) -> SlotSpec | None:
        """Nothing: no decoder has it."""
        return None

    @property
    def first_alone(self) -> bool:
        """It reads maps."""
        return False
