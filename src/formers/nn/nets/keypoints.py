"""Points of a picture that are found again in others, and what they look like there: SuperPoint's heads.

DeTone et al. 2017, arXiv:1712.07629, sections 3.2 to 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.nn.nets.leaves import leaf_of
from formers.nn.spec import nets
from formers.nn.tree import Group, leaf, place

CELL = 8  # pixels down and across of a place of the map
PLACES = CELL**2 + 1  # of a point in it; the last one says that there is none


class _Read(Group):
    """Two convolutions over the last map.

    Args:
        read, inner, made: channels of the map, between, and of the result.
        names: paths of `first`, `act`, `second`.
    """

    def __init__(self, read: int, inner: int, made: int, names: Mapping[str, str]) -> None:
        super().__init__()
        parts = {
            "act": nets.Act("relu"),
            "first": nets.Conv(read, inner, 3, bias=True),
            "second": nets.Conv(inner, made, bias=True),
        }
        for role, part in parts.items():
            place(self, role, names[role], leaf_of(part))

    def read(self, maps: Tensor) -> Tensor:
        """[B, read, h, w] -> [B, made, h, w]."""
        found: Tensor = leaf(self, "second")(leaf(self, "act")(leaf(self, "first")(maps)))
        return found


class PointFinder(_Read):
    """Where points are.

    Args:
        read, inner, names: see `_Read`.
        threshold: what their scores exceed.
        most: how many of the best are kept; all, below 0.
        radius: pixels down and across within which a better one hides others.
        border: pixels from the upper and the left edge within which there are none.
    """

    def __init__(
        self,
        read: int,
        inner: int,
        names: Mapping[str, str],
        threshold: float,
        most: int,
        radius: int,
        border: int,
    ) -> None:
        super().__init__(read, inner, PLACES, names)
        self.threshold, self.most, self.radius, self.border = threshold, most, radius, border

    def forward(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """[1, read, h, w] -> places [K, (across, down)] in pixels, float32, and their scores [K]."""
        made = F.pixel_shuffle(self.read(encoded).softmax(1)[:, :-1], CELL)[:, 0]
        scores = alone(made, self.radius)[0]  # [height, width]
        found = (scores > self.threshold).nonzero()  # [K, (down, across)]
        # checkpoints are used with edges below and to the right that are no border
        found = found[(found >= self.border).all(1)]
        best = scores[found[:, 0], found[:, 1]]
        if 0 <= self.most < len(best):
            best, order = best.topk(self.most)
            found = found[order]
        return found.flip(1).float(), best


class PointDescriber(_Read):
    """What points look like, as vectors of length one."""

    def forward(self, encoded: Tensor, keypoints: Tensor) -> Tensor:
        """[1, read, h, w] and places [1, K, (across, down)] -> [K, made]."""
        maps = F.normalize(self.read(encoded), dim=1)
        size = keypoints.new_tensor([maps.shape[3], maps.shape[2]]) * CELL
        first, last = (CELL - 1) / 2, (CELL + 1) / 2  # centres of the outer places, from the edges
        at = (keypoints - first) / (size - last) * 2 - 1
        found = F.grid_sample(maps, at[:, None].to(maps.dtype), mode="bilinear", align_corners=True)
        return F.normalize(found[0, :, 0], dim=0).T


def alone(scores: Tensor, radius: int) -> Tensor:
    """Scores [B, height, width], 0 where a better one lies within `radius` pixels down and across."""

    def best(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2 * radius + 1, stride=1, padding=radius)

    kept = scores == best(scores)
    for _ in range(2):  # what only hidden ones hid
        hidden = best(kept.to(scores.dtype)) > 0
        left = torch.where(hidden, 0.0, scores)
        kept = kept | ((left == best(left)) & ~hidden)
    return torch.where(kept, scores, 0.0)
