"""Tokens laid end to end: which rows of an [N, E] matrix are which sequence.

Stacks compute on real tokens only. Sequences are ordered so that equal lengths stand together; each
run of equal lengths is a `Span`, a plain [count, length] view of the rows, and needs no mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """Rows `start` to `start + count * length`: `count` sequences of `length` tokens each."""

    start: int
    count: int
    length: int

    @property
    def stop(self) -> int:
        """One past the last row."""
        return self.start + self.count * self.length


@dataclass(frozen=True, eq=False)
class Layout:
    """The padded shape [batch, length] that callers see, and the rows that are computed.

    Attributes:
        batch: B.
        length: T.
        spans: runs of sequences of one length.
        index: [N], place of every row in the flattened [B * T]; None when nothing is left out.
        order: [sequences], batch row of each sequence in span order; None when dense.
    """

    batch: int
    length: int
    spans: tuple[Span, ...]
    index: Tensor | None = None
    order: Tensor | None = None

    @classmethod
    def dense(cls, batch: int, length: int) -> Layout:
        """Every place is computed, padding included."""
        return cls(batch, length, (Span(0, batch, length),))

    @classmethod
    def of(cls, real: Tensor) -> Layout:
        """Leave padding out. `real` is [B, T], bool, true at real tokens, anywhere in the row."""
        batch, length = real.shape
        lengths = real.sum(1)  # [B]
        order = torch.argsort(lengths, stable=True)
        order = order[lengths[order] > 0]
        sequence, column = real[order].nonzero(as_tuple=True)  # [N] each
        index = order[sequence] * length + column
        return cls(batch, length, _runs(lengths[order].tolist()), index, order)

    @classmethod
    def of_starts(cls, starts: Tensor) -> Layout:
        """Several sequences a row, end to end. `starts` is [B, T], bool, true at the first token of each."""
        batch, length = starts.shape
        first = starts.flatten().nonzero()[:, 0]  # [sequences]
        lengths = torch.diff(first, append=first.new_tensor([batch * length]))
        order = torch.argsort(lengths, stable=True)
        first, lengths = first[order], lengths[order]
        moved = torch.repeat_interleave(first - (lengths.cumsum(0) - lengths), lengths)  # [N]
        index = moved + torch.arange(batch * length, device=starts.device)
        return cls(batch, length, _runs(lengths.tolist()), index, first // length)

    @property
    def rows(self) -> int:
        """N, the number of tokens that are computed."""
        return self.spans[-1].stop if self.spans else 0

    def columns(self, count: int) -> Layout:
        """The layout of the first `count` columns alone."""
        if self.index is None:
            return Layout.dense(self.batch, count)
        real = self.unpack(torch.ones_like(self.index, dtype=torch.bool))
        return Layout.of(real[:, :count])

    def pack(self, padded: Tensor) -> Tensor:
        """[B, T, ...] -> [N, ...]."""
        flat = padded.reshape(self.batch * self.length, *padded.shape[2:])  # [B * T, ...]
        return flat if self.index is None else flat.index_select(0, self.index)

    def unpack(self, rows: Tensor) -> Tensor:
        """[N, ...] -> [B, T, ...], zeros where there is padding."""
        if self.index is not None:
            empty = rows.new_zeros(self.batch * self.length, *rows.shape[1:])
            rows = empty.index_copy_(0, self.index, rows)  # [B * T, ...]
        return rows.reshape(self.batch, self.length, *rows.shape[1:])

    def by_span(self, rows: Tensor) -> list[Tensor]:
        """The rows of each span as a [count, length, ...] view.

        One split: slices would fill a tensor of all rows with zeros for each span in the backward pass.
        """
        parts = torch.split(rows, [span.stop - span.start for span in self.spans])
        return [
            part.view(span.count, span.length, *rows.shape[1:])
            for part, span in zip(parts, self.spans, strict=True)
        ]

    def starts(self, device: torch.device) -> Tensor:
        """Row of the first token of every sequence, in span order: [sequences], int64."""
        return torch.cat(
            [torch.arange(span.start, span.stop, span.length, device=device) for span in self.spans]
        )

    def by_row(self, found: Tensor) -> Tensor:
        """One vector per sequence, in span order, to one per batch row: [sequences, E] -> [B, E].

        Zeros for a row of padding alone.
        """
        if self.order is None:
            return found
        return found.new_zeros(self.batch, found.shape[-1]).index_copy(0, self.order, found)

    def first(self, rows: Tensor) -> Tensor:
        """The first token of every batch row, the first real one with padding on the left.

        [N, E] -> [B, E].
        """
        return self.by_row(rows.index_select(0, self.starts(rows.device)))


def _runs(lengths: list[int]) -> tuple[Span, ...]:
    spans: list[Span] = []
    start = 0
    at = 0
    while at < len(lengths):
        end = at
        while end < len(lengths) and lengths[end] == lengths[at]:
            end += 1
        spans.append(Span(start, end - at, lengths[at]))
        start, at = spans[-1].stop, end
    return tuple(spans)


def whole(x: Tensor, batch: int) -> Tensor:
    """[B * T, E] or [B, T, E] -> [B, T, E].

    What has that form stays itself: hidden states that callers see lie in the graph.
    """
    return x if x.dim() == 3 else x.view(batch, -1, x.shape[-1])
