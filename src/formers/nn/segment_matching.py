"""Segments that queries find, matched to those that are there, and the losses of the matches.

Cheng et al. 2021, arXiv:2107.06278, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.extras import need
from formers.nn.matching import Pairs, dice, mask_losses, padded

_ALPHA, _GAMMA = 0.25, 2  # of the focal loss (arXiv:1708.02002), for pixels of a segment
Found = tuple[Tensor, Tensor]  # logits of labels [B, Q, C + 1] and of pixels [B, Q, h, w]


@dataclass(frozen=True)
class Points:
    """Masks are compared at points of theirs alone (Kirillov et al. 2019, arXiv:1912.08193).

    Attributes:
        count: how many.
        drawn: so many times as many are drawn, of which the most doubtful are taken,
        doubtful: but for a share of them all that is just drawn: one less this.
    """

    count: int
    drawn: float
    doubtful: float


@dataclass(frozen=True)
class SegmentMatching:
    """What counts when queries and segments are paired, and in the sum of the losses.

    Attributes:
        label: weight of the probability of a segment's label in the cost of a pair.
        mask: that of the loss of single pixels, also in the sum of the losses.
        dice: that of what both have in common, likewise.
        labels: weight of the labels' loss in that sum.
        nothing: weight of queries that have no segment in the mean cross entropy; the others have 1.
        points: where masks are compared, by their cross entropy; None for everywhere, by the focal loss.
    """

    label: float
    mask: float
    dice: float
    labels: float
    nothing: float
    points: Points | None = None


@dataclass(frozen=True)
class Segments:
    """The segments of one picture: labels [N], int64, and masks [N, height, width], floating."""

    labels: Tensor
    masks: Tensor


def checked(masks: Any, labels: Any, logits: Tensor) -> list[Segments]:
    """The segments of each picture, on the device of the model.

    Args:
        masks: for each picture [N, height, width], 1 where a segment is.
        labels: for each picture [N], int64.
        logits: [B, Q, C + 1], of what the segments are compared with.

    Raises:
        TypeError: for what is no list of tensors.
        ValueError: for one without the other, another number of pictures or of segments, and labels that the
            model does not know.
    """
    if masks is None or labels is None:
        missing, given = ("mask_labels", "class_labels")[:: 1 if masks is None else -1]
        raise ValueError(f"a loss needs mask_labels and class_labels: {missing} is missing beside {given}")
    for name, value in (("mask_labels", masks), ("class_labels", labels)):
        if not isinstance(value, (Tensor, list, tuple)) or not all(isinstance(one, Tensor) for one in value):
            raise TypeError(f"{name} is a list with a tensor for each picture, not {type(value).__name__}")
        if len(value) != len(logits):
            raise ValueError(f"{name} has {len(value)} entries, but there are {len(logits)} pictures")
    found, count = [], logits.shape[-1] - 1
    for place, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        if mask.dim() != 3 or label.dim() != 1 or len(mask) != len(label):
            raise ValueError(
                f"picture {place} has mask_labels of shape {list(mask.shape)} and class_labels of shape "
                f"{list(label.shape)}: they are [N, height, width] and [N]"
            )
        if len(label) and not 0 <= int(label.min()) <= int(label.max()) < count:
            raise ValueError(
                f"picture {place} has class_labels from {int(label.min())} to {int(label.max())}, but the "
                f"model tells {count} apart (0 to {count - 1}): ignore_index of processors leaves some out"
            )
        found.append(Segments(label.to(logits.device).long(), mask.to(logits.device).float()))
    return found


def segmentation(
    found: Sequence[Found], there: Sequence[Segments], costs: SegmentMatching, weight: Tensor
) -> Tensor:
    """The weighed sum of the losses of all layers.

    Args:
        found: of the last layer, then of the others from the first on.
        there: see `checked`.
        costs: how pairs are found and weighed.
        weight: [C + 1], of each label in the mean cross entropy.
    """
    weights = {"loss_cross_entropy": costs.labels, "loss_mask": costs.mask, "loss_dice": costs.dice}
    total = torch.zeros((), device=weight.device)
    for logits, masks in found:
        for name, value in losses(logits, masks, there, costs, weight).items():
            total = total + weights[name] * value
    return total


def losses(
    logits: Tensor, masks: Tensor, there: Sequence[Segments], costs: SegmentMatching, weight: Tensor
) -> dict[str, Tensor]:
    """Match, and compare each query with its segment, or with there being none.

    Args:
        logits: [B, Q, C + 1]; the last label says that there is nothing.
        masks: [B, Q, h, w], logits.
        there: see `checked`.
        costs: see `segmentation`.
        weight: likewise.

    Returns:
        `loss_cross_entropy`; `loss_mask` and `loss_dice`, sums over the pairs per segment.
    """
    pairs = match(logits, masks, there, costs)
    rows = torch.cat([torch.full_like(query, row) for row, (query, _) in enumerate(pairs)])
    place = (rows, torch.cat([query for query, _ in pairs]))
    mine = [own.to(logits.device) for _, own in pairs]
    every = torch.full(logits.shape[:2], logits.shape[-1] - 1, device=logits.device)
    every[place] = torch.cat([one.labels[own] for one, own in zip(there, mine, strict=True)])
    right = [one.masks[own] for one, own in zip(there, mine, strict=True)]
    count = max(sum(len(one.labels) for one in there), 1)
    if costs.points is None:
        found = mask_losses(masks[place], right, count)
    else:
        found = point_losses(masks[place].float(), padded(right), costs.points, count)
    labels = F.cross_entropy(logits.float().transpose(1, 2), every, weight.float())
    return {"loss_cross_entropy": labels, **found}


@torch.no_grad()
def match(logits: Tensor, masks: Tensor, there: Sequence[Segments], costs: SegmentMatching) -> Pairs:
    """Pair queries and segments so that the sum of the costs is least; each has one partner at most.

    Costs that are no number count as the largest, so that such pairs are made last.

    Raises:
        MissingExtra: without SciPy.
    """
    assign = need("scipy.optimize", "vision", "matching segments").linear_sum_assignment
    largest, found = torch.finfo(torch.float32).max, []
    for shares, own, right in zip(logits.float().softmax(-1), masks.float(), there, strict=True):
        if costs.points is None:
            small = F.interpolate(right.masks[:, None], own.shape[1:], mode="nearest").flatten(1)
            own = own.flatten(1)
        else:  # the same places of all
            at = torch.rand(1, costs.points.count, 2, device=own.device)
            own, small = (sampled(one, at.expand(len(one), -1, -1)) for one in (own, right.masks))
        cost = pair_costs(own, small, costs) - costs.label * shares[:, right.labels]
        rows, columns = assign(cost.nan_to_num(largest, largest, largest).cpu().numpy())
        found.append((torch.from_numpy(rows), torch.from_numpy(columns)))
    return found


def pair_costs(logits: Tensor, right: Tensor, costs: SegmentMatching) -> Tensor:
    """What every pair of masks costs, of queries [Q, pixels] and of segments [N, pixels]: [Q, N]."""
    shares = logits.sigmoid()
    on, off = F.softplus(-logits), F.softplus(logits)
    if costs.points is None:
        on, off = _ALPHA * (1 - shares) ** _GAMMA * on, (1 - _ALPHA) * shares**_GAMMA * off
    apart = (on @ right.T + off @ (1 - right).T) / logits.shape[1]
    both = shares.sum(1)[:, None] + right.sum(1)
    return costs.mask * apart + costs.dice * (1 - (2 * shares @ right.T + 1) / (both + 1))


def sampled(masks: Tensor, at: Tensor) -> Tensor:
    """What masks [N, h, w] have at places [N, P, (x, y)], shares of width and height: [N, P]."""
    if not len(masks):
        return masks.new_zeros(0, at.shape[1])
    return F.grid_sample(masks[:, None], 2 * at[:, :, None] - 1, align_corners=False)[:, 0, :, 0]


def point_losses(masks: Tensor, right: Tensor, points: Points, count: int) -> dict[str, Tensor]:
    """`loss_mask`, of single points, and `loss_dice`, divided by `count`, where masks are in doubt.

    Args:
        masks: [N, h, w], logits.
        right: [N, height, width].
        points: which places of theirs are compared.
        count: of segments.
    """
    with torch.no_grad():
        at = doubtful(masks, points)
        there = sampled(right, at)
    own = sampled(masks, at)
    return {
        "loss_mask": F.binary_cross_entropy_with_logits(own, there, reduction="none").mean(1).sum() / count,
        "loss_dice": dice(own, there).sum() / count,
    }


def doubtful(masks: Tensor, points: Points) -> Tensor:
    """Places in masks [N, h, w] where the logits are near zero, and some others: [N, P, (x, y)]."""
    drawn = torch.rand(masks.shape[0], int(points.count * points.drawn), 2, device=masks.device)
    kept = int(points.count * points.doubtful)
    near = (-sampled(masks, drawn).abs()).topk(kept, dim=1).indices
    found = drawn.gather(1, near[..., None].expand(-1, -1, 2))
    if kept == points.count:
        return found
    return torch.cat((found, torch.rand(masks.shape[0], points.count - kept, 2, device=masks.device)), dim=1)


def alike(queries: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """How badly queries and texts of one picture, [B, Q, E] each, find each other among those of all.

    Jain et al. 2022, arXiv:2211.06220, section 3.3. `scale` is the logarithm of what multiplies cosines.

    Raises:
        ValueError: for another number of texts than queries.
    """
    if queries.shape != texts.shape:
        raise ValueError(
            f"there are {texts.shape[1]} texts for {queries.shape[1]} queries, with those that are learned: "
            "give as many as the processor's num_text"
        )
    one, other = (F.normalize(rows.float().flatten(1), dim=-1) for rows in (texts, queries))
    scores = one @ other.T * scale.exp().clamp(max=100)
    right = torch.arange(scores.shape[0], device=scores.device)
    return F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)
