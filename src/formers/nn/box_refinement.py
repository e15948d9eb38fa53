"""Where queries stand: boxes and points as logits, and how every layer of a decoder may move them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from formers.nn.fresh import Constant, Xavier, begins
from formers.nn.mixers.deformable import Looked, Sizes
from formers.nn.passing import Pass
from formers.nn.perceptron import Perceptron

_NEAR = 1e-5  # logits of 0 and 1 are those of this far from them


class Follow(Protocol):
    """What follows the layers of a pass; it lies there under `follow`."""

    def before(self, index: int, pass_: Pass) -> None:
        """A layer is about to run, perhaps once more, in a backward pass."""

    def after(self, index: int, x: Tensor, pass_: Pass) -> None:
        """It gave `x`, [N, E], or [B, T, E] in a watched pass."""


def logit(x: Tensor) -> Tensor:
    """Shares, which are clipped, as logits: the shape stays."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=_NEAR) / (1 - x).clamp(min=_NEAR))


def moved(by: Tensor, at: Tensor) -> Tensor:
    """Boxes [.., 4], shares, moved from points or boxes `at` [.., 2 or 4] by so many logits [.., 4]."""
    start = logit(at)
    if at.shape[-1] == 2:
        start = nn.functional.pad(start, (0, 2))
    return (by + start).sigmoid()


def standing_at(points: Tensor, ratios: Tensor | None) -> Tensor:
    """Shares of what is no padding, [B, T, 2 or 4], as shares of each map: [B, T, L or 1, 2 or 4]."""
    if ratios is None:
        return points[:, :, None]
    return points[:, :, None] * torch.cat((ratios,) * (points.shape[-1] // 2), -1)[:, None]


def labelling(width: int, labels: int, prior: float) -> nn.Linear:
    """What labels rows; at first every label is as likely as `prior`."""
    bias = math.log(prior / (1 - prior))
    return begins(nn.Linear(width, labels), weight=Xavier(), bias=Constant(bias))


def moving(width: int) -> Perceptron:
    """What moves boxes by rows; at first nothing is moved."""
    made = Perceptron(width, width, width, 4)
    begins(made.layers[-1], weight=Constant(0.0), bias=Constant(0.0))
    return made


class Refining:
    """Queries that look at maps from where they stand, and may stand elsewhere after every layer.

    Zhu et al. 2020, arXiv:2010.04159, appendix A.4.

    Args:
        start: where they stand first, shares, [B, T, 2 or 4].
        sizes: of the maps; `ratios` [B, L, 2], which share of each is no padding, or None.
        places: where queries stand in all maps, [B, T, L or 1, 2 or 4] -> vectors beside their rows,
            [B, T, E]; None for vectors that stay.
        boxes: for every layer what moves the queries, by its rows; None where they stay.
        labels: for every layer what labels its rows, or None.
        norm: of the rows that boxes and labels read, which callers see; or None.
        learns: gradients go through the boxes that callers see, and they see labels too.
    """

    def __init__(
        self,
        start: Tensor,
        sizes: Sizes,
        ratios: Tensor | None,
        places: Callable[[Tensor], Tensor] | None = None,
        boxes: Sequence[nn.Module] | None = None,
        labels: Sequence[nn.Module] | None = None,
        norm: nn.Module | None = None,
        learns: bool = False,
    ) -> None:
        self._sizes, self._ratios, self._places, self._learns = sizes, ratios, places, learns
        self._boxes, self._labels, self._norm, self._at = boxes, labels, norm, [start]
        self._rows: list[Tensor] = []
        self._found: list[Tensor] = []
        self._logits: list[Tensor] = []

    def before(self, index: int, pass_: Pass) -> None:
        """Say where queries stand."""
        at = standing_at(self._at[index], self._ratios)
        pass_.memo.put("looked", Looked(self._sizes, at))
        if self._places is not None:
            beside = self._places(at)
            pass_.memo.put("places", beside if pass_.watched else pass_.layout.pack(beside))

    def after(self, index: int, x: Tensor, pass_: Pass) -> None:
        """Move them."""
        x = x if pass_.watched else pass_.layout.unpack(x)
        rows, at = x if self._norm is None else self._norm(x), self._at[index]
        found = at
        if self._boxes is not None:
            found = moved(self._boxes[index](x), at)
            at = found.detach()
        self._at.append(at)
        self._rows.append(rows)
        self._found.append(found if self._learns else at)
        if self._labels is not None and self._learns:
            self._logits.append(self._labels[index](rows))

    def seen(self) -> dict[str, Any]:
        """What callers see of all layers, [B, layers, T, ..]."""
        found: dict[str, Any] = {
            "intermediate_hidden_states": torch.stack(self._rows, 1),
            "intermediate_reference_points": torch.stack(self._found, 1),
        }
        if self._learns:
            found["intermediate_logits"] = torch.stack(self._logits, 1) if self._logits else ()
        return found
