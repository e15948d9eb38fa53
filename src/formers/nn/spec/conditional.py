"""Attention whose contents and places go through layers of their own."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.attention import Attention


@dataclass(frozen=True)
class Conditional(Attention):
    """Attention whose contents and places go through layers of their own.

    Meng et al. 2021, arXiv:2108.06152, section 3.3. Rows to themselves: what is made of places is added to
    what is made of contents. Across, places stand beside contents in every head, so that queries and keys
    are twice as wide as values; the pass holds under `waves` what queries know of the map, which their own
    states shaped. Roles beside those of `Attention`: `q_places`, `k_places`; across `cross_waves`, and
    `cross_q_places` of the `first` layer, which adds places to contents too.

    Attributes:
        first: it is the first layer.
    """

    first: bool = False

    def __post_init__(self) -> None:
        if self.fused or self.rotary is not None or self.qk_norm is not None or self.gated:
            raise ValueError("queries and keys of contents and places are neither fused, turned nor normed")
        if self.heads.query != self.heads.key_value:
            raise ValueError("every head has contents and places of its own")

    @property
    def first_alone(self) -> bool:
        """It reads places."""
        return False
