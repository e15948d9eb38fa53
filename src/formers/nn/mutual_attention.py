"""Two sequences that attend to each other by one matrix of scores: places of a picture, and words.

Li et al. 2021, arXiv:2112.03857, section 3.3; Liu et al. 2023, arXiv:2303.05499, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.attend import Backend, Scores
from formers.nn.dropout import DropPath
from formers.nn.fresh import Constant
from formers.nn.interface import without_own
from formers.nn.leaves import norm
from formers.nn.masks import Mask
from formers.nn.mixers.deformable import even
from formers.nn.tree import Group, leaf, place, place_tensor, wiring

_SIDES = ("first", "second")


@dataclass(frozen=True)
class Fusing:
    """How they attend.

    Attributes:
        width: E, of both.
        inner: H * D, of what heads compare and mix.
        heads: H.
        norm: of what both read, which the results are added to.
        paths: of `attention`, a node with `{side}_q`, `{side}_v`, `{side}_o` inside; `{side}_norm`,
            `{side}_gain` and `skip` beside it. The sides are `first` and `second`.
        dropout: on the weights.
        skip: probability of leaving a row's result out in training.
        gain: what the factors on the results begin with.
    """

    width: int
    inner: int
    heads: int
    norm: spec.Norm
    paths: Mapping[str, str]
    dropout: float = 0.0
    skip: float = 0.0
    gain: float = 1e-4

    def __post_init__(self) -> None:
        if self.inner % self.heads:
            raise ValueError(f"{self.heads} heads do not share {self.inner} features alike")


class BothWays(Group):
    """The attention of both to each other. Called with them."""

    def __init__(self, s: Fusing) -> None:
        super().__init__()
        wiring(self).facts["spec"] = s
        sizes = {"q": (s.width, s.inner), "v": (s.width, s.inner), "o": (s.inner, s.width)}
        for what, (read, made) in sizes.items():
            for side in _SIDES:
                place(self, f"{side}_{what}", s.paths[f"{side}_{what}"], even(read, made))

    def forward(
        self, first: Tensor, second: Tensor, masks: Sequence[Mask], backend: Backend
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """[B, S, E] and [B, T, E] -> what each reads of the other, and by which weights, [B * H, S, T].

        Args:
            first: the one side.
            second: the other.
            masks: what may be seen of each.
            backend: how attention is computed.
        """
        s: Fusing = wiring(self).facts["spec"]
        rows = dict(zip(_SIDES, (first, second), strict=True))

        def made(side: str, what: str) -> Tensor:
            found: Tensor = leaf(self, f"{side}_{what}")(rows[side])
            return found.view(*found.shape[:2], s.heads, -1).transpose(1, 2)  # [B, H, S or T, D]

        queries, values = ({side: made(side, what) for side in _SIDES} for what in "qv")
        at = {side: torch.arange(one.shape[1], device=one.device) for side, one in rows.items()}
        seen, rate = dict(zip(_SIDES, masks, strict=True)), s.dropout if self.training else 0.0
        found: list[Any] = []
        mix = without_own(backend, "attention of pictures and texts to each other")
        for side, other in (_SIDES, _SIDES[::-1]):
            scores = Scores(seen[other], at[side], at[other], dropout=rate)
            mixed, weights = mix(queries[side], queries[other], values[other], scores)
            read: Tensor = leaf(self, f"{side}_o")(mixed.transpose(1, 2).flatten(-2))
            found.append((read, None if weights is None else weights.flatten(0, 1)))
        return found[0], found[1]


class Fusion(Group):
    """A norm of both, what they read of each other, and the sums. Called with them."""

    def __init__(self, s: Fusing) -> None:
        super().__init__()
        for side in _SIDES:
            place(self, f"{side}_norm", s.paths[f"{side}_norm"], norm(s.norm, s.width))
        place(self, "attention", s.paths["attention"], BothWays(s))
        place(self, "skip", s.paths["skip"], DropPath(s.skip) if s.skip else nn.Identity())
        for side in _SIDES:
            gain = torch.full((s.width,), s.gain)
            place_tensor(self, f"{side}_gain", s.paths[f"{side}_gain"], gain, Constant(s.gain))

    def forward(
        self, vision_features: Tensor, text_features: Tensor, masks: Sequence[Mask], backend: Backend
    ) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """[B, S, E] and [B, T, E] -> both with what they read, and the weights; see `BothWays`."""
        both = [
            leaf(self, f"{side}_norm")(x)
            for side, x in zip(_SIDES, (vision_features, text_features), strict=True)
        ]
        read = leaf(self, "attention")(*both, masks=masks, backend=backend)
        first, second = (
            (x + leaf(self, "skip")(leaf(self, f"{side}_gain") * more), weights)
            for side, x, (more, weights) in zip(_SIDES, both, read, strict=True)
        )
        return first, second
