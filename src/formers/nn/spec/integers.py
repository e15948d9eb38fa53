"""Integer-only arithmetic in place of floating-point numbers (Kim et al. 2021, arXiv:2101.01321)."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.spec.attention import Attention
from formers.nn.spec.mixers import FeedForward
from formers.nn.spec.stems import Tokens


@dataclass(frozen=True)
class Arithmetic:
    """How a model that can count in integers computes.

    Attributes:
        whole: it does. Otherwise it computes as others do and, in training, notes the ranges of its values.
        exact: what is in floating point all the same: "gelu", "softmax", "layernorm".
    """

    whole: bool = False
    exact: frozenset[str] = frozenset()

    def of(self, name: str) -> bool:
        """Whether that is computed in integers."""
        return self.whole and name not in self.exact


@dataclass(frozen=True)
class IntegerAttention(Attention):
    """Attention with its sum and norm.

    Roles beside those of `Attention`: `softmax`; of what rounds values, `q_act`, `k_act`, `v_act`,
    `context_act`, `attention_sum`, `attention_act`.
    """

    arithmetic: Arithmetic = Arithmetic()

    @property
    def reads_padding(self) -> bool:
        """Ranges are those of all places."""
        return True

    @property
    def first_alone(self) -> bool:
        """Ranges are those of all places."""
        return False


@dataclass(frozen=True)
class IntegerFeedForward(FeedForward):
    """Feed-forward with its sum and norm.

    Roles beside those of `FeedForward`, of what rounds values: `read_act`, `inner_act`, `between_act`,
    `feedforward_sum`, `feedforward_act`.
    """

    arithmetic: Arithmetic = Arithmetic()


@dataclass(frozen=True)
class IntegerTokens(Tokens):
    """A stem of tokens, segments and positions.

    Roles beside those of `Tokens`, of what rounds values: `sum_act`; `idle_act`, which files have and nothing
    uses; `embedding_act`.
    """

    arithmetic: Arithmetic = Arithmetic()
