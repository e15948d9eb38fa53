"""What one forward pass of a stack shares between its parts. Passed explicitly, never ambient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from formers.nn.attend import Backend, choose
from formers.nn.cache import Cache
from formers.nn.grids import Axial
from formers.nn.layout import Layout
from formers.nn.masks import Blocks, Either, Full, Mask, Padding, Renumbered, Written
from formers.nn.positions import Rotary
from formers.nn.recording import Listed, by_sizes, transformed

T = TypeVar("T")


@dataclass(eq=False)
class Geometry:
    """Where the rows of a pass stand.

    Attributes:
        layout: which rows are which sequence.
        positions: of every row, [N]; in a watched pass [B or 1, T]. int64.
        past: positions that the cache held before this call.
        second: the column where a second stream begins behind the text; None where there is none.
    """

    layout: Layout
    positions: Tensor
    past: int = 0
    second: int | None = None


@dataclass(eq=False)
class Visibility:
    """What may be seen beside what the mixers' own masks say.

    Attributes:
        real: [B, S], bool, which keys hold a token; None when all do or padding was taken out.
        extra: a further mask that every mixer obeys.
        alone: `extra` is the caller's own 3-D or 4-D mask, which stands in place of the mixers'.
        bias: added to the scores, [B or 1, 1 or H, T, S]: what such a mask holds beside hiding.
        encoder: [B, S, E], what cross attention reads; `encoder_real` [B, S] likewise bool or None.
        holes: padding stands between real tokens, so that columns and tokens count differently; None until
            that is asked, since a GPU has to be waited for.
        blocks: whose tokens see each other beside what the mixers' masks say; None for none.
    """

    real: Tensor | None = None
    extra: Mask | None = None
    alone: bool = False
    bias: Tensor | None = None
    encoder: Tensor | None = None
    encoder_real: Tensor | None = None
    holes: bool | None = False
    blocks: Blocks | None = None
    _masks: dict[Mask, Mask] = field(default_factory=dict, init=False)

    def mask(self, own: Mask) -> Mask:
        """The mixer's own mask with what this pass adds to it; the same value for every layer that has it."""
        found = self._masks.get(own)
        if found is None:
            found = self._masks[own] = self._joined(own)
        return found

    def _joined(self, own: Mask) -> Mask:
        mask = Full() if self.alone else own
        counts = self.real is not None and getattr(mask, "counts", "") == "tokens"
        if self.real is not None and counts and (mask.absolute or self._has_holes(self.real)):
            mask = Renumbered(mask, self.real.long().cumsum(1) - 1)
        if self.blocks is not None and not self.alone:
            mask = Either(mask, self.blocks)
        if self.real is not None:
            mask = mask & Padding(self.real)
        mask = mask if self.extra is None else mask & self.extra
        return mask if mask is own else Written(mask)

    def _has_holes(self, real: Tensor) -> bool:
        if self.holes is None:
            self.holes = not contiguous(real)
        return self.holes

    @cached_property
    def encoder_mask(self) -> Mask:
        """Which of the encoder's states are seen."""
        return Full() if self.encoder_real is None else Written(Padding(self.encoder_real))

    def numbers(self, columns: Tensor) -> Tensor:
        """Which token each of the columns [S] holds: [S], or [B, S] where there are holes."""
        if self.real is None or not self._has_holes(self.real):
            return columns
        return self.real.long().cumsum(1)[:, columns]


def contiguous(real: Tensor) -> bool:
    """Whether the real tokens of every row, [B, T], stand together."""
    begins = real[:, 1:] & ~real[:, :-1]
    return bool((begins.sum(1) + real[:, 0] <= 1).all())


class Memo:
    """What is computed once a pass and read by several layers."""

    def __init__(self) -> None:
        self._held: dict[object, object] = {}
        self._listed = Listed()

    def once(self, key: object, make: Callable[[], T]) -> T:
        """The value under `key`, made where it is missing."""
        if isinstance(key, tuple) and torch.compiler.is_dynamo_compiling():
            found: T = self._listed.once(key, make)
            return found
        if key not in self._held:
            self._held[key] = make()
        return self._held[key]  # type: ignore[return-value]

    def put(self, key: object, value: object) -> None:
        """Hold a value, in place of an older one."""
        self._held[key] = value

    def get(self, key: object) -> Any:
        """The value under `key`, or None."""
        return self._held.get(key)


@dataclass(eq=False)
class Pass:
    """One forward pass of a stack.

    Attributes:
        geometry: where the rows stand.
        visibility: what may be seen.
        backend: how attention is computed.
        memo: what is computed once.
        trace: what the caller wants to see on the way, by name: "hidden_states", "attentions",
            "cross_attentions"; a name that is not there is not kept.
        cache: keys and values of earlier calls.
        watched: every module is called, and sees [B, T, E].
        single: nobody watches, nothing is recorded, and every sequence has one token behind a cache.
    """

    geometry: Geometry
    visibility: Visibility
    backend: Backend
    memo: Memo = field(default_factory=lambda: Memo())  # a class cannot be traced here
    trace: dict[str, list[Any]] = field(default_factory=dict)
    cache: Cache | None = None
    watched: bool = False
    single: bool = False

    @property
    def layout(self) -> Layout:
        """Which rows are which sequence."""
        return self.geometry.layout

    def keep(self, name: str, value: Any) -> None:
        """Note a value that the caller wants to see."""
        if name in self.trace and value is not None:
            self.trace[name].append(value)

    def range(self, start: int, stop: int) -> Tensor:
        """Positions start..stop-1, one tensor per distinct range so that backends can compare by identity."""
        device = self.geometry.positions.device
        return self.memo.once(by_sizes(start, stop), lambda: torch.arange(start, stop, device=device))

    def over(self, count: int, real: Tensor | None) -> Pass:
        """A pass like this one over `count` places of each row, padding included; `real` [B, count]."""
        layout, at = Layout.dense(self.layout.batch, count), self.range(0, count)[None]
        positions = at if self.watched else layout.pack(at.expand(layout.batch, count))
        seen = Visibility(real)
        return Pass(Geometry(layout, positions), seen, self.backend, trace=self.trace, watched=self.watched)

    def within(self, count: int, real: Tensor | None) -> Pass:
        """A pass over `count` rows that were made of those of this one, with notes of its own.

        Padding is left out where it is left out here; `real` [B, count].
        """
        made = replace(self.over(count, real), trace={name: [] for name in self.trace})
        if self.layout.index is not None and real is not None:
            layout = Layout.of(real)
            at = self.range(0, count).expand(layout.batch, count)
            made.geometry, made.visibility = Geometry(layout, layout.pack(at)), Visibility()
        made.memo.put("relative", self.memo.get("relative"))
        return made

    def apart(self, x: Tensor) -> tuple[Tensor, ...]:
        """The streams of a watched pass, [B, T, E], as parts that attend read and return them."""
        second, (whole, parts) = self.geometry.second, self.memo.get("joined") or (None, ())
        if second is None:
            return (x,)
        return parts if x is whole else (x[:, :second], x[:, second:])

    def joined(self, parts: Sequence[Any]) -> tuple[Any, ...]:
        """What such a part read or returned, its streams as one again."""
        if self.geometry.second is None or len(parts) < 2:
            return tuple(parts)
        streams = tuple(parts[:2])
        whole = torch.cat(streams, dim=1)
        self.memo.put("joined", (whole, streams))  # so that gradients of one do not go through the other
        return (whole, *parts[2:])

    def of_second(self, x: Tensor) -> Tensor:
        """Which rows of `x`, [N, E] or [B, T, E], are the second stream's: [N] or [T], bool."""

        def make() -> Tensor:
            index, length = self.layout.index, self.layout.length
            at = self.range(0, x.shape[-2]) if index is None or x.dim() == 3 else index
            return at % length >= (self.geometry.second or 0)

        return self.memo.once(by_sizes("second", x.shape[-2]), make)

    def tokens(self) -> Tensor:
        """Which token of its sequence every row holds, the first being 0: [N], or [B or 1, T] if watched."""

        def make() -> Tensor:
            layout, past, real = self.layout, self.geometry.past, self.visibility.real
            if layout.index is not None:
                return torch.cat([self.range(0, span.length).repeat(span.count) for span in layout.spans])
            columns = self.range(past, past + layout.length)
            numbers = columns[None] if real is None else real.long().cumsum(1)[:, columns] - 1
            return numbers if self.watched else layout.pack(numbers.expand(layout.batch, layout.length))

        return self.memo.once("tokens", make)

    def rotary(self, rule: Rotary | Axial, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of this pass, the shape of the positions and [.., width]."""

        def make() -> tuple[Tensor, Tensor]:
            if isinstance(rule, Axial):
                raise ValueError(
                    "patches are turned by their places in an image, which a layer called alone cannot tell: "
                    "call the model"
                )
            with torch.autocast(self.geometry.positions.device.type, enabled=False):
                cos, sin = rule.table(self.geometry.positions)
            return cos.to(dtype), sin.to(dtype)

        return self.memo.once(rule, make)

    def first(self, x: Tensor) -> Tensor:
        """The first real token of every sequence: [N, E] or [B, T, E] -> [B, E]."""
        if x.dim() == 2:
            return self.layout.first(x)
        if self.layout.index is not None:
            return self.layout.first(self.layout.pack(x))
        real = self.visibility.real
        if real is None or real.shape[1] != x.shape[1]:
            return x[:, 0]
        at = real.long().argmax(1)  # [B]: the first one; 0 for a row of padding alone
        return x[torch.arange(x.shape[0], device=x.device), at]

    def present(self, x: Tensor) -> Tensor | None:
        """Which places hold tokens, of rows [N, E] or of [B, T, E]: [B, T], bool; None where all do."""
        if self.layout.index is None or x.dim() > 2:
            return self.visibility.real
        return self.layout.unpack(torch.ones_like(x[:, 0], dtype=torch.bool))

    def mean(self, x: Tensor) -> Tensor:
        """The mean of every sequence's real tokens: [N, E] or [B, T, E] -> [B, E]."""
        real, whole = self.present(x), self.layout.unpack(x) if x.dim() == 2 else x
        if real is None:
            return whole.mean(1)
        seen = real[:, -whole.shape[1] :, None]  # [B, T, 1]
        return (whole * seen).sum(1) / seen.sum(1).clamp(min=1)

    def highest(self, x: Tensor, scores: Tensor) -> Tensor:
        """The real token of the highest score in every sequence, the first of equals.

        [N, E] or [B, T, E], with scores >= 0 of the rows that are computed, [N] or [B, T] -> [B, E].
        """
        layout, real = self.layout, self.visibility.real
        rows = layout.pack(x) if x.dim() == 3 else x
        scores = scores.flatten()
        if real is not None and real.numel() == scores.numel():
            scores = scores.masked_fill(~real.flatten(), -1)
        best = torch.cat([part.argmax(1) for part in layout.by_span(scores)])
        return layout.by_row(rows.index_select(0, layout.starts(x.device) + best))


def plain_pass(
    shape: tuple[int, int], device: torch.device, backend: str | None, trace: dict[str, list[Any]], seen: bool
) -> Pass:
    """A pass over B rows of T places each, where nothing is hidden.

    Args:
        shape: B, T.
        device: of the rows.
        backend: name of that which computes attention; None for the best that can.
        trace: see `Pass`; weights are written out where "attentions" are wanted.
        seen: it is watched.
    """
    needs = {name for name, one in (("weights", "attentions" in trace), ("transforms", transformed())) if one}
    geometry = Geometry(Layout.dense(*shape), torch.arange(shape[1], device=device)[None])
    return Pass(geometry, Visibility(), choose(backend, frozenset(needs)), trace=trace, watched=seen)
