"""Points of two pictures, matched: SuperGlue (Sarlin et al. 2020, arXiv:1911.11763).

Rows are [2 B, N, E], a picture and the one that it is matched with after each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn.activations import Activation
from formers.nn.dropout import Dropout
from formers.nn.leaves import linear
from formers.nn.tree import Group, hold, leaf, place, wiring


class NormedLinear(Group):
    """A linear leaf, a batch norm over all points, and what is positive."""

    def __init__(self, read: int, made: int, names: Mapping[str, str]) -> None:
        super().__init__()
        parts = {
            "dense": linear("linear", read, made),
            "norm": nn.BatchNorm1d(made),
            "act": Activation("relu"),
        }
        for role, part in parts.items():
            place(self, role, names[role], part)

    def forward(self, x: Tensor) -> Tensor:
        """[.., N, in] -> [.., N, out]."""
        x = leaf(self, "norm")(leaf(self, "dense")(x).transpose(1, 2)).transpose(1, 2)
        found: Tensor = leaf(self, "act")(x)
        return found


def _layers(widths: Sequence[int], names: Mapping[str, str]) -> nn.ModuleList:
    """Normed ones, and a plain one at the end."""
    *pairs, (read, made) = zip(widths[:-1], widths[1:], strict=True)
    return nn.ModuleList([*(NormedLinear(*pair, names) for pair in pairs), linear("linear", read, made)])


class PointEncoder(Group):
    """Where points are, and how sure, as vectors."""

    def __init__(self, widths: Sequence[int], names: Mapping[str, str]) -> None:
        super().__init__()
        place(self, "layers", names["encoder_layers"], _layers((3, *widths), names))

    def forward(self, places: Tensor, scores: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[2 B, N, 2] and [2 B, N] -> [2 B, N, E], and what every layer makes."""
        x, trace = torch.cat([places, scores[..., None]], dim=-1), []
        for one in leaf(self, "layers"):
            x = one(x)
            trace.append(x)
        return x, trace


class PointMixing(Group):
    """What points make of those of their picture, or of the other."""

    def __init__(self, width: int, heads: int, dropout: float, names: Mapping[str, str]) -> None:
        super().__init__()
        wiring(self).facts["heads"] = heads
        for role in "qkv":
            place(self, role, names[role], linear("linear", width, width))
        place(self, "weights_dropout", names["weights_dropout"], Dropout(dropout))

    def forward(self, x: Tensor, hidden: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[2 B, N, E], and what is added to scores, [2 B, 1, 1, N] -> the first's shape, and weights.

        Args:
            x: the points.
            hidden: of those that are seen.
            other: those, where they are not these.
        """
        heads, seen = wiring(self).facts["heads"], x if other is None else other
        q, k, v = (
            leaf(self, role)(one).unflatten(-1, (heads, -1)).transpose(1, 2)
            for role, one in zip("qkv", (x, seen, seen), strict=True)
        )
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + hidden
        weights = leaf(self, "weights_dropout")(scores.softmax(-1))
        return (weights @ v).transpose(1, 2).flatten(2), weights


class PointAttention(Group):
    """The same, projected."""

    def __init__(self, width: int, heads: int, dropout: float, names: Mapping[str, str]) -> None:
        super().__init__()
        place(self, "mix", names["mix"], PointMixing(width, heads, dropout, names))
        place(self, "out", names["out"], Projection(width, names["dense_out"]))

    def forward(self, x: Tensor, hidden: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `PointMixing`."""
        mixed, weights = leaf(self, "mix")(x, hidden, other)
        return leaf(self, "out")(mixed), weights


class Projection(Group):
    """A node that holds one linear leaf."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        place(self, "dense", name, linear("linear", width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[.., E] -> [.., E]."""
        found: Tensor = leaf(self, "dense")(x)
        return found


class PointLayer(Group):
    """What is added to points: of what they are, and of what they attend to."""

    def __init__(self, width: int, heads: int, dropout: float, names: Mapping[str, str]) -> None:
        super().__init__()
        place(self, "attention", names["attention"], PointAttention(width, heads, dropout, names))
        place(self, "feedforward", names["feedforward"], _layers((2 * width, 2 * width, width), names))

    def forward(
        self, x: Tensor, hidden: Tensor, other: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """[2 B, N, E] -> the same, what every layer makes, and weights."""
        mixed, weights = leaf(self, "attention")(x, hidden, other)
        y, trace = torch.cat([x, mixed], dim=-1), []
        for one in leaf(self, "feedforward"):
            y = one(y)
            trace.append(y)
        return y, trace, weights


class PointGraph(Group):
    """Layers of attention within a picture ("self"), or to the other one ("cross").

    Args:
        kinds: of the layers.
        width, heads, dropout, names: of each.
    """

    def __init__(
        self, kinds: Sequence[str], width: int, heads: int, dropout: float, names: Mapping[str, str]
    ) -> None:
        super().__init__()
        wiring(self).facts["kinds"] = tuple(kinds)
        made = nn.ModuleList(PointLayer(width, heads, dropout, names) for _ in kinds)
        hold(self, names["graph_layers"], made)
        wiring(self).roles["layers"] = (names["graph_layers"],)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """[2 B, N, E], [2 B, 1, 1, N] -> the same, what every layer makes, and weights."""
        trace, weights = [x], []
        for kind, one in zip(wiring(self).facts["kinds"], leaf(self, "layers"), strict=True):
            seen = (other_of_pair(hidden), other_of_pair(x)) if kind == "cross" else (hidden,)
            delta, made, weight = one(x, *seen)
            trace += made
            weights.append(weight)
            x = x + delta
        return x, trace, weights


def other_of_pair(x: Tensor) -> Tensor:
    """[2 B, ..], where a picture's pair stands beside it."""
    return x.view(-1, 2, *x.shape[1:]).flip(1).view(x.shape)


def transported(scores: Tensor, none: Tensor, rounds: int) -> Tensor:
    """How likely points match, in logarithms, where each has one share to give, or none finds it.

    Sinkhorn and Knopp's iterations (Cuturi 2013, arXiv:1306.0895).

    Args:
        scores: [B, N, M].
        none: the score of having no match, a scalar.
        rounds: how often rows and columns are made whole.

    Returns:
        [B, N + 1, M + 1]; the last row and column stand for no match.
    """
    rows, columns = scores.shape[1:]
    pairs = F.pad(scores, (0, 1, 0, 1))
    beyond = F.pad(torch.zeros_like(scores, dtype=torch.bool), (0, 1, 0, 1), value=True)
    pairs = torch.where(beyond, none, pairs)
    share = -scores.new_tensor(rows + columns).log()
    first, second = (
        torch.cat([share.expand(one), (scores.new_tensor(other).log() + share)[None]])
        for one, other in ((rows, columns), (columns, rows))
    )
    down, across = torch.zeros_like(pairs[:, :, 0]), torch.zeros_like(pairs[:, 0])
    for _ in range(rounds):
        down = first - (pairs + across[:, None]).logsumexp(2)
        across = second - (pairs + down[:, :, None]).logsumexp(1)
    return pairs + down[:, :, None] + across[:, None] - share


def matched(likely: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Pairs that are each other's best.

    Args:
        likely: [B, N + 1, N + 1], as `transported` gives it.
        threshold: what is less likely is none.

    Returns:
        For each point of both pictures the number of its match in the other, -1 for none, int64 [B, 2, N];
        and how likely it is.
    """
    inside = likely[:, :-1, :-1]
    best, there = inside.max(2)
    back = inside.max(1).indices
    at = torch.arange(there.shape[1], device=there.device)
    mutual, mutual_back = back.gather(1, there) == at, there.gather(1, back) == at
    sure = torch.where(mutual, best.exp(), 0.0)
    sure = torch.where(sure > threshold, sure, 0.0)
    kept = mutual & (sure > 0)
    sure_back = torch.where(mutual_back, sure.gather(1, back), 0.0)
    kept_back = mutual_back & kept.gather(1, back)
    numbers = torch.stack([torch.where(kept, there, -1), torch.where(kept_back, back, -1)], dim=1)
    return numbers, torch.stack([sure, sure_back], dim=1)


def centred(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Places [.., (across, down)] in pixels of a picture of that (height, width), from its middle."""
    edges = places.new_tensor(size[::-1])
    return (places - edges / 2) / (max(size) * 0.7)


def hidden_points(mask: Tensor, dtype: Any) -> Tensor:
    """What is added to scores of points, [2 B, 1, 1, N], by a mask [2 B, N] that is 0 where there is none."""
    return torch.where(mask[:, None, None] > 0, 0.0, torch.finfo(dtype).min).to(dtype)
