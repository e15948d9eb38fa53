"""Mixers of tokens that are no plain attention."""

from __future__ import annotations

from dataclasses import dataclass, field

from formers.nn.spec.attention import Attention


@dataclass(frozen=True)
class Fourier:
    """The real part of a Fourier transform of tokens and features (Lee-Thorp et al. 2021, arXiv:2105.03824).

    It has no leaves; role `fourier` is its node. Padding is read as text.
    """

    causal = False
    by_distance = True
    needs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    honours_masks = False
    reads_padding = True
    slot = None
    first_alone = False


@dataclass(frozen=True)
class Channels(Attention):
    """Attention by pointwise convolutions (Iandola et al. 2020, arXiv:2006.11316, section 3).

    It stands in a layer that is `turned`.

    Attributes:
        groups: of the convolutions q, k, v and o.
    """

    groups: tuple[int, int, int, int] = (1, 1, 1, 1)
