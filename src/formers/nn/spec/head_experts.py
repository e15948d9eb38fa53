"""Attention whose heads are experts."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.attention import Attention
from formers.nn.spec.mixers import Experts, FeedForward


@dataclass(frozen=True)
class HeadExperts(Attention):
    """A router sends every token to some of many projections of queries, each with one of results.

    Zhang et al. 2022, arXiv:2210.05144, section 3. What an expert asks, its `heads.key_value` heads, is
    answered by the keys and values that all experts share; those of a token's first expert come first. Roles:
    `chooser`, the router; `chosen_q` [experts, G * D, E]; `kv`, all k, then all v; `chosen_o` [experts, E,
    G * D]; `o_bias` [E], added to their weighted sum.

    Attributes:
        count: experts; `chosen` of them read each token, weighed by a softmax of their logits.
    """

    count: int = 1
    chosen: int = 1

    def __post_init__(self) -> None:
        if self.heads.query != self.chosen * self.heads.key_value:
            raise ValueError(
                f"{self.chosen} experts of {self.heads.key_value} heads each are not {self.heads.query} heads"
            )

    @property
    def experts(self) -> Experts:
        """How experts are chosen."""
        inner = FeedForward(self.heads.key_value * self.heads.width)
        return Experts(self.count, self.chosen, inner, stacked="rows", scores="softmax of chosen")

    @property
    def first_alone(self) -> bool:
        """Keys are turned by their positions."""
        return False
