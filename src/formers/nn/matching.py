"""Objects that a model finds, matched to those that are there, and the losses of the matches.

Carion et al. 2020, arXiv:2005.12872. Boxes are (centre x, centre y, width, height), as shares of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.boxes import corners
from formers.core.extras import need

Pairs = list[tuple[Tensor, Tensor]]  # for each picture the queries, and the objects that are theirs


@dataclass(frozen=True)
class Matching:
    """What counts when queries and objects are paired, and in the sum of the losses.

    Attributes:
        label: weight of the probability of an object's label in the cost of a pair.
        distance: that of the L1 distance of the boxes.
        overlap: that of their generalised intersection over union.
        nothing: weight of queries that have no object in the mean cross entropy; the others have 1.
        weights: losses by name -> weight in the sum.
    """

    label: float
    distance: float
    overlap: float
    nothing: float
    weights: Mapping[str, float]


def generalised_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, less the share of the hull that neither covers (arXiv:1902.09630).

    Args:
        a: [.., 4], (left, top, right, bottom).
        b: likewise; the shapes broadcast.

    Returns:
        [..], in (-1, 1]; NaN for two boxes without area at one place.
    """
    own, other = ((one[..., 2:] - one[..., :2]).prod(-1) for one in (a, b))
    least, most = torch.minimum(a, b), torch.maximum(a, b)
    shared = (least[..., 2:] - most[..., :2]).clamp(min=0).prod(-1)
    hull = (most[..., 2:] - least[..., :2]).clamp(min=0).prod(-1)
    union = own + other - shared
    return shared / union - (hull - union) / hull


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: Sequence[Mapping[str, Tensor]], costs: Matching) -> Pairs:
    """Pair queries and objects so that the sum of the costs is least; each has one partner at most.

    Costs that are no number count as the largest, so that such pairs are made last.

    Args:
        logits: [B, Q, C + 1].
        boxes: [B, Q, 4].
        targets: see `checked`.
        costs: what a pair costs.

    Raises:
        MissingExtra: without SciPy.
    """
    assign = need("scipy.optimize", "vision", "matching boxes").linear_sum_assignment
    largest, found = torch.finfo(torch.float32).max, []
    for shares, box, there in zip(logits.float().softmax(-1), boxes.float(), targets, strict=True):
        right = there["boxes"].float()
        apart = torch.cdist(box, right, p=1)
        over = generalised_overlap(corners(box)[:, None], corners(right)[None])
        cost = costs.distance * apart - costs.label * shares[:, there["class_labels"]] - costs.overlap * over
        rows, columns = assign(cost.nan_to_num(largest, largest, largest).cpu().numpy())
        found.append((torch.from_numpy(rows), torch.from_numpy(columns)))
    return found


def losses(
    logits: Tensor,
    boxes: Tensor,
    targets: Sequence[Mapping[str, Tensor]],
    costs: Matching,
    masks: Tensor | None = None,
) -> dict[str, Tensor]:
    """Match, and compare each query with its object, or with there being none.

    Args:
        logits: [B, Q, C + 1]; the last label says that there is nothing.
        boxes: [B, Q, 4].
        targets: see `checked`.
        costs: how pairs are found and weighed.
        masks: [B, Q, h, w], logits of the objects' pixels.

    Returns:
        `loss_ce`; `loss_bbox` and `loss_giou`, sums over the pairs per object; and `cardinality_error`, by
        how many objects a picture is off, which has no gradient. For masks `loss_mask` (Lin et al. 2017,
        arXiv:1708.02002) and `loss_dice` (Milletari et al. 2016, arXiv:1606.04797), likewise.
    """
    pairs = match(logits, boxes, targets, costs)
    rows = torch.cat([torch.full_like(query, row) for row, (query, _) in enumerate(pairs)])
    place = (rows, torch.cat([query for query, _ in pairs]))
    device, nothing = logits.device, logits.shape[-1] - 1
    labels, right = (
        torch.cat([one[key][mine.to(device)] for one, (_, mine) in zip(targets, pairs, strict=True)])
        for key in ("class_labels", "boxes")
    )
    every = torch.full(logits.shape[:2], nothing, device=device)
    every[place] = labels
    weight = torch.ones(nothing + 1, device=device)
    weight[nothing] = costs.nothing
    own, right = boxes[place].float(), right.float()
    objects = max(sum(len(one["class_labels"]) for one in targets), 1)
    seen = (logits.argmax(-1) != nothing).sum(1)
    there = torch.tensor([len(one["class_labels"]) for one in targets], device=device)
    found = {
        "loss_ce": F.cross_entropy(logits.float().transpose(1, 2), every, weight),
        "cardinality_error": (seen - there).abs().float().mean(),
        "loss_bbox": (own - right).abs().sum() / objects,
        "loss_giou": (1 - generalised_overlap(corners(own), corners(right))).sum() / objects,
    }
    if masks is None:
        return found
    shapes = [one["masks"][mine.to(device)] for one, (_, mine) in zip(targets, pairs, strict=True)]
    return found | mask_losses(masks[place], shapes, objects)


def mask_losses(masks: Tensor, right: Sequence[Tensor], objects: int) -> dict[str, Tensor]:
    """Masks compared with those of their objects, which all are padded to the size of the largest.

    Args:
        masks: [N, h, w], logits, which are enlarged to that size.
        right: for each picture [n, height, width].
        objects: by how many the sums are divided.
    """
    whole = padded(right)
    there = whole.flatten(1)
    large = F.interpolate(masks[:, None].float(), whole.shape[1:], mode="bilinear", align_corners=False)
    return {
        "loss_mask": focal(large.flatten(1), there).mean(1).sum() / objects,
        "loss_dice": dice(large.flatten(1), there).sum() / objects,
    }


def padded(masks: Sequence[Tensor]) -> Tensor:
    """Masks of several pictures, [n, height, width], with zeros up to the size of the largest: [N, ..]."""
    down, across = (max(one.shape[axis] for one in masks) for axis in (1, 2))
    rooms = ((0, across - one.shape[2], 0, down - one.shape[1]) for one in masks)
    return torch.cat([F.pad(one.float(), room) for one, room in zip(masks, rooms, strict=True)])


def focal(logits: Tensor, right: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Binary cross entropy that counts less where it is small already (arXiv:1708.02002): the shapes stay."""
    shares = logits.sigmoid()
    off = shares * (1 - right) + (1 - shares) * right
    weight = alpha * right + (1 - alpha) * (1 - right)
    return weight * F.binary_cross_entropy_with_logits(logits, right, reduction="none") * off**gamma


def dice(logits: Tensor, right: Tensor) -> Tensor:
    """One, less twice what masks [N, pixels] have in common of all that both have (arXiv:1606.04797): [N]."""
    shares = logits.sigmoid()
    return 1 - (2 * (shares * right).sum(1) + 1) / (shares.sum(1) + right.sum(1) + 1)


def detection(
    logits: Sequence[Tensor],
    boxes: Sequence[Tensor],
    targets: Any,
    costs: Matching,
    masks: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighed sum of the losses of all layers, and each of them.

    Args:
        logits: of the last layer, then of the others from the first on; each [B, Q, C + 1].
        boxes: likewise; each [B, Q, 4].
        targets: see `checked`.
        costs: how pairs are found and weighed.
        masks: of the last layer alone, [B, Q, h, w].

    Returns:
        The sum, and the losses by name; those of another layer than the last end in its number.
    """
    targets = checked(targets, logits[0], masks is not None)
    named = {}
    for i, (scores, places) in enumerate(zip(logits, boxes, strict=True)):
        ending = f"_{i - 1}" if i else ""
        own = losses(scores, places, targets, costs, None if i else masks)
        named.update({f"{name}{ending}": value for name, value in own.items()})
    total = torch.zeros((), device=logits[0].device)
    for name, value in named.items():
        total = total + costs.weights.get(name.rstrip("_0123456789"), 0) * value
    return total, named


def checked(targets: Any, logits: Tensor, masked: bool = False) -> list[dict[str, Tensor]]:
    """The objects of each picture, on the device of the model.

    Args:
        targets: for each picture `class_labels`, int64 [N], and `boxes`, [N, 4]; other keys are left out.
        logits: [B, Q, C + 1], of what the objects are compared with.
        masked: `masks`, [N, height, width], are needed too.

    Raises:
        TypeError: for what is no list of dictionaries of tensors.
        ValueError: for another number of pictures, labels that the model does not know, and what is no box.
    """
    keys = ("class_labels", "boxes", *(["masks"] if masked else []))
    if not isinstance(targets, (list, tuple)) or not all(isinstance(one, Mapping) for one in targets):
        raise TypeError(
            "labels is a list with a dictionary for each picture (class_labels, boxes), not "
            f"{type(targets).__name__}"
        )
    if len(targets) != len(logits):
        raise ValueError(f"labels has {len(targets)} entries, but there are {len(logits)} pictures")
    found = []
    for place, one in enumerate(targets):
        if not all(isinstance(one.get(key), Tensor) for key in keys):
            raise TypeError(f"labels[{place}] needs the tensors {' and '.join(keys)}, but has {list(one)}")
        labels, boxes, *masks = (one[key].to(logits.device) for key in keys)
        if masks and (masks[0].dim() != 3 or len(masks[0]) != len(labels)):
            raise ValueError(
                f"labels[{place}] holds masks of shape {list(masks[0].shape)} for {len(labels)} objects: "
                "they are [N, height, width]"
            )
        count = logits.shape[-1] - 1
        if labels.dim() != 1 or boxes.shape != (len(labels), 4):
            raise ValueError(
                f"labels[{place}] holds class_labels of shape {list(labels.shape)} and boxes of shape "
                f"{list(boxes.shape)}: they are [N] and [N, 4]"
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < count:
            raise ValueError(
                f"labels[{place}] holds class_labels from {int(labels.min())} to {int(labels.max())}, but "
                f"the model tells {count} apart (0 to {count - 1})"
            )
        if not bool((boxes[:, 2:] >= 0).all()):
            raise ValueError(
                f"labels[{place}] holds boxes of negative width or height: a box is (centre x, centre y, "
                "width, height), as shares of the picture"
            )
        found.append(dict(zip(keys, (labels.long(), boxes, *masks), strict=True)))
    return found
