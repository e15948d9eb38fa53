"""Mixers of tokens that are no attention."""

from __future__ import annotations

from dataclasses import dataclass, field


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
