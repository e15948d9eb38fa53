"""Masks as values: each is defined by a predicate over positions, and backends translate it.

A mask says which keys a query may see. The window of a causal mask is the number of keys seen, the
query's own included (`k > q - window`); the window of a two-sided one is the reach on each side
(`|q - k| <= reach`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from formers.nn.recording import Listed, by_sizes, recording


@dataclass(frozen=True)
class Mask:
    """Base of all masks: `allowed` is the definition, everything else is derived from it."""

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Whether `query` may see `key` in batch row `row`; positions broadcast, the result is bool."""
        raise NotImplementedError(f"{type(self).__name__} states no predicate")

    @property
    def per_row(self) -> bool:
        """Whether batch rows differ, so that the materialised mask needs a batch axis."""
        return False

    absolute = False  # it depends on where tokens stand, not on how far apart they are alone

    def over(self, keys: int) -> Mask:
        """What it comes to over so many keys, the first of all among them."""
        return self

    def __and__(self, other: Mask) -> Mask:
        if isinstance(self, Full):
            return other
        return self if isinstance(other, Full) else Both(self, other)


@dataclass(frozen=True)
class Full(Mask):
    """Every query sees every key."""

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Always true."""
        return (query == query) & (key == key)


@dataclass(frozen=True)
class Causal(Mask):
    """A query sees the keys at and before its own position, `window` of them at most.

    A window counts `columns`, padding between real tokens included, or real `tokens` alone.
    """

    window: int | None = None
    counts: Literal["columns", "tokens"] = "columns"

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`key <= query`, and `key > query - window`."""
        past = key <= query
        return past if self.window is None else past & (key > query - self.window)


@dataclass(frozen=True)
class CausalChunk(Causal):
    """A query sees the keys at and before its own position in its own chunk of `size` tokens."""

    counts: Literal["columns", "tokens"] = "tokens"
    size: int = 1
    absolute = True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`key <= query`, and both fall into the same chunk."""
        return (key <= query) & (query // self.size == key // self.size)

    def over(self, keys: int) -> Mask:
        """The first chunk is plain."""
        return Causal() if keys <= self.size else self


@dataclass(frozen=True)
class Window(Mask):
    """A query sees the keys at most `reach` positions away, on both sides; `counts` as in `Causal`."""

    reach: int
    counts: Literal["columns", "tokens"] = "columns"

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`|query - key| <= reach`."""
        return (query - key).abs() <= self.reach


@dataclass(frozen=True)
class Chunk(Mask):
    """A query sees the keys of its own chunk of `size` positions, and of `before` chunks before it.

    Where `before` is negative, of all before it.
    """

    size: int
    before: int = 0

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Both positions fall into the same chunk, or the key into one not too far before."""
        back = query // self.size - key // self.size
        return back == 0 if not self.before else (back >= 0) & ((back <= self.before) | (self.before < 0))


@dataclass(frozen=True, eq=False)
class Prefix(Mask):
    """The first `lengths[row]` positions see each other; the rest is causal. `lengths` is [B]."""

    lengths: Tensor

    @property
    def per_row(self) -> bool:
        """Rows have prefixes of their own."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`key <= query` or `key < lengths[row]`."""
        return (key <= query) | (key < self.lengths[row])


@dataclass(frozen=True, eq=False)
class Padding(Mask):
    """Only keys that hold a real token are seen. `real` is [B, S], bool, indexed by key position."""

    real: Tensor

    @property
    def per_row(self) -> bool:
        """Rows are padded differently."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`real[row, key]`."""
        return self.real[row, key] & (query == query)


@dataclass(frozen=True, eq=False)
class Segments(Mask):
    """Packed sequences: a query sees the keys of its own segment. `ids` is [B, S]."""

    ids: Tensor

    @property
    def per_row(self) -> bool:
        """Rows are packed differently."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Both positions carry the same segment id."""
        return self.ids[row, query] == self.ids[row, key]


@dataclass(frozen=True, eq=False)
class Explicit(Mask):
    """A mask that the caller computed: `seen` is bool, [B or 1, 1, T, S].

    Its first row is the query at position `first`.
    """

    seen: Tensor
    first: int = 0

    @property
    def per_row(self) -> bool:
        """The caller's mask has a batch axis."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """The caller's own cell; a batch axis of one serves every row."""
        rows = row if self.seen.shape[0] > 1 else torch.zeros_like(row)
        return self.seen[rows, 0, query - self.first, key]


@dataclass(frozen=True, eq=False)
class Renumbered(Mask):
    """A mask over tokens where positions are columns: `numbers` [B, S] says which token a column holds."""

    mask: Mask
    numbers: Tensor

    @property
    def per_row(self) -> bool:
        """Rows have holes of their own."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """What the mask says of the tokens in those columns."""
        return self.mask.allowed(row, self.numbers[row, query], self.numbers[row, key])


@dataclass(frozen=True)
class Prompted(Mask):
    """Keys before the first, at positions below 0, are seen by all; the rest is as `mask` says."""

    mask: Mask

    @property
    def per_row(self) -> bool:
        """As the rest."""
        return self.mask.per_row

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`key < 0`, or what the mask says."""
        return (key < 0) | self.mask.allowed(row, query, key.clamp(min=0))


@dataclass(frozen=True)
class Both(Mask):
    """A key must be seen by both masks."""

    first: Mask
    second: Mask

    @property
    def per_row(self) -> bool:
        """Either part differs by row."""
        return self.first.per_row or self.second.per_row

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Both predicates hold."""
        return self.first.allowed(row, query, key) & self.second.allowed(row, query, key)


@dataclass(frozen=True, eq=False)
class Blocks(Mask):
    """Tokens of one block see each other. `ids` is [B, S]; those below 0 are of no block.

    Where it loosens another mask it lets them see what comes `ahead` alone, or all of their block.
    """

    ids: Tensor
    ahead: bool = False

    @property
    def per_row(self) -> bool:
        """Rows have blocks of their own."""
        return True

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Both positions carry the same block's id; `key > query` where it says what comes ahead."""
        own = self.ids[row, query]
        same = (own == self.ids[row, key]) & (own >= 0)
        return same & (key > query) if self.ahead else same


@dataclass(frozen=True, eq=False)
class Either(Mask):
    """A key must be seen by one of both masks."""

    first: Mask
    second: Mask

    @property
    def per_row(self) -> bool:
        """Either part differs by row."""
        return self.first.per_row or self.second.per_row

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """One predicate holds."""
        return self.first.allowed(row, query, key) | self.second.allowed(row, query, key)


@dataclass(frozen=True, eq=False)
class Loosened:
    """What stands in place of an `attention_mask` where blocks of tokens see more than the layers let them.

    Attributes:
        mask: the caller's, as it would be without them; None for none.
        blocks: which tokens are of one, [B, S].
    """

    mask: Tensor | None
    blocks: Blocks


def without_blocks(mask: Any) -> tuple[Any, Blocks | None]:
    """An `attention_mask` as it would be without blocks, and those."""
    return (mask.mask, mask.blocks) if isinstance(mask, Loosened) else (mask, None)


def runs(marked: Tensor) -> Tensor:
    """Marked tokens, [B, T], bool, as blocks that stand together: numbers from 0, -1 beside them. [B, T]."""
    begins = marked & ~torch.nn.functional.pad(marked, (1, 0))[:, :-1]
    return torch.where(marked, begins.cumsum(1) - 1, -1)


@dataclass(frozen=True, eq=False)
class Written(Mask):
    """A mask that many layers read: it is written out once for each pair of position tensors."""

    mask: Mask
    held: dict[tuple[object, ...], tuple[Tensor | None, Tensor, Tensor]] = field(default_factory=dict)
    listed: Listed = field(default_factory=lambda: Listed())  # a class cannot be traced here

    @property
    def per_row(self) -> bool:
        """As the mask itself."""
        return self.mask.per_row

    def allowed(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """As the mask itself."""
        return self.mask.allowed(row, query, key)

    def out(self, batch: int, query: Tensor, key: Tensor) -> Tensor | None:
        """See `materialise`; the positions are held too, so that no others get their identity."""
        place = by_sizes(batch, id(query), id(key))
        if torch.compiler.is_dynamo_compiling():
            found = self.listed.once(place, lambda: (materialise(self.mask, batch, query, key), query, key))
            recorded: Tensor | None = found[0]
            return recorded
        if place not in self.held:
            self.held[place] = (materialise(self.mask, batch, query, key), query, key)
        return self.held[place][0]


def materialise(mask: Mask, batch: int, query: Tensor, key: Tensor) -> Tensor | None:
    """Write a mask out as booleans.

    Args:
        mask: the value.
        batch: number of rows B.
        query: positions of the queries, [T], int64.
        key: positions of the keys, [S], int64.

    Returns:
        [B or 1, 1, T, S], bool, true where the key is seen; None when everything is.
    """
    if isinstance(mask, Full):
        return None
    if isinstance(mask, Written):
        return mask.out(batch, query, key)
    rows = torch.arange(batch if mask.per_row else 1, device=query.device)
    return mask.allowed(rows[:, None, None, None], query[None, None, :, None], key[None, None, None, :])


def taken_apart(mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """Which keys are seen, and what is added to their scores.

    A boolean or integer mask, or a float one of zeros and ones, holds 1 where a key is seen. Any other float
    mask is added to the scores, and hides where it holds the least number or minus infinity.
    """
    if not mask.is_floating_point():
        return mask.bool(), None
    fixed = recording()
    if not fixed and bool((mask == 1).any()) and bool(((mask == 0) | (mask == 1)).all()):
        return mask.bool(), None
    seen = mask > torch.finfo(mask.dtype).min / 2
    bias = mask.masked_fill(~seen, 0.0)
    return seen, bias if fixed or bool(bias.any()) else None
