"""A decoder that predicts several tokens at once: streams that look ahead, behind the one of the tokens."""

from __future__ import annotations

from dataclasses import dataclass

from formers.nn.positions import Buckets
from formers.nn.spec.attention import Attention
from formers.nn.spec.stems import Tokens


@dataclass(frozen=True)
class FutureTokens(Attention):
    """Attention of a row's tokens to themselves, and of streams that look ahead to them.

    Qi et al. 2020, arXiv:2001.04063, section 2.2. Rows are the tokens, then each of `streams`, end to end.
    A place of the stream n, from 0, sees the tokens n before its own and those that stand before them, the
    first token of all, and itself. Roles beside those of `Attention`: `relative`, [E] -> [buckets * H], what
    every place adds to its scores by distance; it is one place farther from tokens than its own token is.

    Attributes:
        streams: how many look ahead.
        buckets: of distances.
    """

    streams: int = 1
    buckets: Buckets = Buckets(two_sided=False)

    def __post_init__(self) -> None:
        if self.streams < 1:
            raise ValueError(f"a decoder predicts one token at least (ngram), not {self.streams}")

    @property
    def by_distance(self) -> bool:
        """Distances count columns."""
        return True

    @property
    def honours_masks(self) -> bool:
        """No: the streams have masks of their own."""
        return False

    @property
    def reads_padding(self) -> bool:
        """Streams have as many places as the tokens, padding included."""
        return True


@dataclass(frozen=True)
class FutureTokenStreams(Tokens):
    """A stem of tokens and, behind them, of `streams` that know of a place alone which it is: the next one.

    Role beside those of `Tokens`: `stream`, a table whose last row is the first stream's.
    """

    streams: int = 1

    @property
    def room(self) -> int | None:
        """One place less: the last token's streams stand at the next."""
        found = super().room
        return None if found is None else found - 1
