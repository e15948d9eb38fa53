"""Layers in which two sequences read each other by one attention, and then each itself.

Tan and Bansal 2019, arXiv:1908.07490, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.attend import Backend, Scores, eager
from formers.nn.dropout import Dropout
from formers.nn.interface import without_own
from formers.nn.kernels import hooked
from formers.nn.leaves import linear, norm
from formers.nn.masks import Mask
from formers.nn.tree import Group, leaf, place, wiring

SIDES = ("text", "regions")


@dataclass(frozen=True)
class Crossing:
    """Such layers.

    Attributes:
        width: E, of both.
        heads: H.
        inner: width between the two layers of feed-forwards.
        act: activation there.
        norm: behind every sum.
        paths: of the attentions `across`, `text` and `regions`, and in each of what attends and what adds,
            `across_read`, `across_add` and so on; of the halves of feed-forwards, `text_up`, `text_down`,
            `regions_up`, `regions_down`; and in those of `q`, `k`, `v`, `weights_dropout`; `out`, `norm`,
            `dropout`; `up`, `act`.
        dropout: on what is added.
        weights_dropout: on the weights.
    """

    width: int
    heads: int
    inner: int
    act: str
    norm: spec.Norm
    paths: Mapping[str, str]
    dropout: float = 0.0
    weights_dropout: float = 0.0


class Reading(Group):
    """An attention without what follows. Called with rows and with what they read."""

    def __init__(self, s: Crossing) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        for role in "qkv":
            place(self, role, s.paths[role], linear("linear", s.width, s.width))
        place(self, "weights_dropout", s.paths["weights_dropout"], Dropout(s.weights_dropout))

    def forward(
        self, hidden_states: Tensor, context: Tensor | None = None, *, mask: Mask, backend: Backend
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, E] and [B, S, E] -> what is read, [B, T, E], and by which weights, [B, H, T, S].

        Without a second sequence the first reads itself.
        """
        s: Crossing = wiring(self).facts["spec"]
        context = hidden_states if context is None else context
        made = [leaf(self, role)(x) for role, x in (("q", hidden_states), ("k", context), ("v", context))]
        query, key, value = (x.view(*x.shape[:2], s.heads, -1).transpose(1, 2) for x in made)
        rows, seen = (torch.arange(x.shape[1], device=x.device) for x in (hidden_states, context))
        scores, backend = Scores(mask, rows, seen), without_own(backend, "attention between two sides")
        dropping = leaf(self, "weights_dropout")
        if type(dropping) is not Dropout or hooked(dropping):
            backend, scores = eager, scores.with_dropout(0.0, dropping)
        elif dropping.training:
            scores = scores.with_dropout(dropping.p)
        mixed, weights = backend(query, key, value, scores)
        return mixed.transpose(1, 2).flatten(-2), weights


class Adding(Group):
    """A linear layer, dropout, a sum and its norm. Called with rows and with what they are added to."""

    def __init__(self, s: Crossing, read: int) -> None:
        super().__init__()
        place(self, "out", s.paths["out"], linear("linear", read, s.width))
        place(self, "norm", s.paths["norm"], norm(s.norm, s.width))
        place(self, "dropout", s.paths["dropout"], Dropout(s.dropout))

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """[.., read] and [.., E] -> [.., E]."""
        found: Tensor = leaf(self, "dropout")(leaf(self, "out")(hidden_states))
        closed: Tensor = leaf(self, "norm")(found + input_tensor)
        return closed


class Widening(Group):
    """A linear layer and its activation."""

    def __init__(self, s: Crossing) -> None:
        super().__init__()
        place(self, "up", s.paths["up"], linear("linear", s.width, s.inner))
        place(self, "act", s.paths["act"], Activation(s.act))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[.., E] -> [.., inner]."""
        found: Tensor = leaf(self, "act")(leaf(self, "up")(hidden_states))
        return found


class Attending(Group):
    """An attention, and its sum. Called with rows, and with what they read where that is not themselves.

    `once`: what reads itself is handed to the attention once, not as what is read too.
    """

    def __init__(self, s: Crossing, which: str, once: bool = False) -> None:
        super().__init__()
        self._once = once
        place(self, "read", s.paths[f"{which}_read"], Reading(s))
        place(self, "add", s.paths[f"{which}_add"], Adding(s, s.width))

    def forward(
        self, input_tensor: Tensor, context: Tensor | None = None, *, mask: Mask, backend: Backend
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, E] and [B, S, E] -> [B, T, E], and the weights."""
        given = [input_tensor, input_tensor if context is None else context]
        given = given[:1] if self._once and context is None else given
        mixed, weights = leaf(self, "read")(*given, mask=mask, backend=backend)
        return leaf(self, "add")(mixed, input_tensor), weights


class SideLayer(Group):
    """One side reads itself, and a feed-forward. Called with it."""

    def __init__(self, s: Crossing) -> None:
        super().__init__()
        place(self, "own", s.paths["own"], Attending(s, "own"))
        place(self, "up", s.paths["own_up"], Widening(s))
        place(self, "down", s.paths["own_down"], Adding(s, s.inner))

    def forward(self, hidden_states: Tensor, mask: Mask, backend: Backend) -> tuple[Tensor, Tensor | None]:
        """[B, T, E] -> the same, and by which weights it reads itself, [B, H, T, T]."""
        x, weights = leaf(self, "own")(hidden_states, mask=mask, backend=backend)
        return leaf(self, "down")(leaf(self, "up")(x), x), weights


class ReadingLayer(Group):
    """One side reads itself, then the other, and a feed-forward. Called with both.

    The path of the attention to the other side is that of `across`.
    """

    def __init__(self, s: Crossing) -> None:
        super().__init__()
        place(self, "own", s.paths["own"], Attending(s, "own", once=True))
        place(self, "across", s.paths["across"], Attending(s, "across"))
        place(self, "up", s.paths["own_up"], Widening(s))
        place(self, "down", s.paths["own_down"], Adding(s, s.inner))

    def forward(
        self, hidden_states: Tensor, context: Tensor, masks: Sequence[Mask], backend: Backend
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, E] and [B, S, E] -> [B, T, E], and by which weights it reads itself, [B, H, T, T].

        `masks`: what may be seen of itself, and of the other side.
        """
        own, over = masks
        x, weights = leaf(self, "own")(hidden_states, mask=own, backend=backend)
        x, _ = leaf(self, "across")(x, context, mask=over, backend=backend)
        return leaf(self, "down")(leaf(self, "up")(x), x), weights


class CrossingLayer(Group):
    """Both read each other as they were, each reads itself, and feed-forwards. Called with both."""

    def __init__(self, s: Crossing) -> None:
        super().__init__()
        for which in ("across", *SIDES):
            place(self, which, s.paths[which], Attending(s, which))
        for side in SIDES:
            place(self, f"{side}_up", s.paths[f"{side}_up"], Widening(s))
            place(self, f"{side}_down", s.paths[f"{side}_down"], Adding(s, s.inner))

    def forward(
        self, text: Tensor, regions: Tensor, masks: Sequence[Mask], backend: Backend
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """[B, T, E] and [B, P, E] -> both, and by which weights texts read regions, [B, H, T, P].

        Args:
            text: the one side.
            regions: the other.
            masks: what may be seen of each.
            backend: how attention is computed.
        """
        across = leaf(self, "across")
        first, over = across(text, regions, mask=masks[1], backend=backend)
        second, _ = across(regions, text, mask=masks[0], backend=backend)
        rows = [
            leaf(self, side)(x, mask=mask, backend=backend)[0]
            for side, x, mask in zip(SIDES, (first, second), masks, strict=True)
        ]
        wide = [leaf(self, f"{side}_up")(x) for side, x in zip(SIDES, rows, strict=True)]
        words, places = (
            leaf(self, f"{side}_down")(x, before) for side, x, before in zip(SIDES, wide, rows, strict=True)
        )
        return words, places, over
