"""What a layer of a conformer has beside a plain one (Gulati et al. 2020, arXiv:2005.08100, section 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from formers.nn.spec.attention import Attention
from formers.nn.spec.values import Norm


@dataclass(frozen=True)
class Distant(Attention):
    """Attention whose queries ask for distances too.

    With a `reach`, how far before and behind a query distances are told apart, each has a vector of its own,
    which all heads share (Shaw et al. 2018, arXiv:1803.02155): role `distances`. Else vectors are made of
    sinusoids by the leaf `r`, and queries have a bias for contents and one for distances (Dai et al. 2019,
    arXiv:1901.02860, section 3.3): roles `r`, `content_bias`, `distance_bias`; `waves_dropout` is on the
    sinusoids, drawn once for all layers; with `waves_each` whoever looks sees some for each sound.
    """

    reach: tuple[int, int] | None = None
    waves_dropout: float = 0.0
    waves_each: bool = False

    @property
    def by_distance(self) -> bool:
        """Always."""
        return True

    @property
    def first_alone(self) -> bool:
        """Never: queries differ by their places."""
        return False


@dataclass(frozen=True)
class Favouring(Attention):
    """Attention that hides no padding: what is real gets `favour` more in the scores.

    A pass says under `REAL_ROWS` what is, [B, T], bool; where it does not, all is.
    """

    favour: float = 1.0

    @property
    def reads_padding(self) -> bool:
        """Always."""
        return True

    @property
    def first_alone(self) -> bool:
        """Never: biases are of whole rows."""
        return False


REAL_ROWS = "real rows"


@dataclass(frozen=True)
class SeparableConvolution:
    """A gated linear unit, a convolution along time in two parts, an activation, a linear layer.

    The first part is by feature and looks back alone, the second by place (Chollet 2017, arXiv:1610.02357).
    Roles: `conv_gated`, `conv_apart`, modules of each; `conv_act`, `conv_out`, `conv_dropout`.

    Attributes:
        kernel: places that the first part reads.
        wider: how many features it makes of each.
        gate: activation of the half that weighs.
        act: activation behind the second part.
        dropout: on the result.
    """

    kernel: int
    wider: int = 1
    gate: str = "silu"
    act: str = "silu"
    dropout: float = 0.0
    causal: Literal[False] = field(default=False, init=False, repr=False)
    by_distance: Literal[True] = field(default=True, init=False, repr=False)
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks: Literal[False] = field(default=False, init=False, repr=False)
    reads_padding: Literal[True] = field(default=True, init=False, repr=False)
    slot: None = field(default=None, init=False, repr=False)
    first_alone: Literal[False] = field(default=False, init=False, repr=False)


@dataclass(frozen=True)
class GatedConvolution:
    """A gated linear unit, a convolution along time by feature, a norm, an activation, a linear layer.

    Roles: `conv_in`, `conv_gate`, `conv_along`, `conv_along_norm`, `conv_act`, `conv_out`, `conv_dropout`.

    Attributes:
        kernel: places that the convolution reads: as many on either side; if it `looks_back`, before alone.
        norm: the second norm, over features; None for one over the batch.
        act: activation.
        bias: the three leaves have one.
        dropout: on the result.
        hides: padding is zero where it is read, or (`hides_gated`) behind the gate; else it is computed.
    """

    kernel: int
    norm: Norm | None = None
    act: str = "silu"
    bias: bool = False
    dropout: float = 0.0
    looks_back: bool = False
    hides: bool = False
    hides_gated: bool = False
    causal: Literal[False] = field(default=False, init=False, repr=False)
    by_distance: Literal[True] = field(default=True, init=False, repr=False)
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks: Literal[False] = field(default=False, init=False, repr=False)
    slot: None = field(default=None, init=False, repr=False)
    first_alone: Literal[False] = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(
                f"a convolution reads as many places on either side, so not {self.kernel} in all"
            )

    @property
    def reads_padding(self) -> bool:
        """Where it is not hidden."""
        return not (self.hides or self.hides_gated)
