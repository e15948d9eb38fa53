"""Objects that a model finds, matched to those that are there, and the losses of the matches.

Carion et al. 2020, arXiv:2005.12872. Boxes are (centre x, centre y, width, height), as shares of a picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.boxes import corners, overlap
from formers.core.extras import need
from formers.nn.phrases import Words

Pairs = list[tuple[Tensor, Tensor]]  # for each picture the queries, and the objects that are theirs


@dataclass(frozen=True)
class Apart:
    """Every label is told by itself, yes or no; no label says that there is nothing.

    What a label costs a pair is how much less its focal loss is where the label is right (arXiv:1708.02002),
    with `alpha` and `gamma`.

    Attributes:
        soft: where masks count too, a label costs a pair its share of all labels instead.
        loss: `focal` (`loss_ce`), or `varifocal` (`loss_vfl`; Zhang et al. 2020, arXiv:2008.13367), where a
            label is to be as sure as its box overlaps that of the object.
        weight: alpha of the loss; `power` its gamma.
    """

    loss: Literal["focal", "varifocal"] = "focal"
    alpha: float = 0.25
    gamma: float = 2.0
    weight: float = 0.25
    power: float = 2.0
    soft: bool = False

    def cost(self, logits: Tensor) -> Tensor:
        """What each label costs a query: the shape stays."""
        shares, near = logits.sigmoid(), 1e-8
        wrong = (1 - self.alpha) * shares**self.gamma * -(1 - shares + near).log()
        return self.alpha * (1 - shares) ** self.gamma * -(shares + near).log() - wrong


@dataclass(frozen=True)
class Matching:
    """What counts when queries and objects are paired, and in the sum of the losses.

    Attributes:
        label: weight of the probability of an object's label in the cost of a pair.
        distance: that of the L1 distance of the boxes.
        overlap: that of their generalised intersection over union.
        nothing: weight of queries that have no object in the mean cross entropy; the others have 1.
        weights: losses by name -> weight in the sum.
        apart: labels are told each by itself; None: one of them, or nothing, by a softmax.
        weighed: callers see losses as the sum has them, and those alone; the others as they are.
        layer: what stands before the number of a layer in the names of its losses.
    """

    label: float
    distance: float
    overlap: float
    nothing: float
    weights: Mapping[str, float]
    apart: Apart | None = None
    weighed: bool = False
    layer: str = "_"

    def count(self, logits: Tensor) -> int:
        """How many labels there are beside the one that says that there is nothing."""
        return logits.shape[-1] - (self.apart is None)


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


def by_phrase(prices: Tensor, names: Tensor) -> Tensor:
    """What words cost queries, [Q, W], as what phrases [n, W] do, the mean of their words: [Q, n]."""
    return prices @ (names / names.sum(1, keepdim=True)).t()


@torch.no_grad()
def match(
    logits: Tensor,
    boxes: Tensor,
    targets: Sequence[Mapping[str, Tensor]],
    costs: Matching,
    masked: bool = False,
    words: Words | None = None,
) -> Pairs:
    """Pair queries and objects so that the sum of the costs is least; each has one partner at most.

    Costs that are no number count as the largest, so that such pairs are made last.

    Args:
        logits: [B, Q, C + 1], or [B, Q, C] where labels are told `apart`.
        boxes: [B, Q, 4].
        targets: see `checked`.
        costs: what a pair costs.
        masked: masks count too.
        words: labels are phrases, and logits [B, Q, W] those of words.

    Raises:
        MissingExtra: without SciPy.
    """
    assign = need("scipy.optimize", "vision", "matching boxes").linear_sum_assignment
    largest, found = torch.finfo(torch.float32).max, []
    logits = logits.float()
    one = costs.apart is None or (costs.apart.soft and masked)
    prices: Any = -logits.softmax(-1) if one or costs.apart is None else costs.apart.cost(logits)
    if words is not None:
        prices = [by_phrase(price, names) for price, names in zip(prices, words.names, strict=True)]
    for price, box, there in zip(prices, boxes.float(), targets, strict=True):
        right = there["boxes"].float()
        apart = torch.cdist(box, right, p=1)
        over = generalised_overlap(corners(box)[:, None], corners(right)[None])
        cost = costs.distance * apart + costs.label * price[:, there["class_labels"]] - costs.overlap * over
        rows, columns = assign(cost.nan_to_num(largest, largest, largest).cpu().numpy())
        found.append((torch.from_numpy(rows), torch.from_numpy(columns)))
    return found


def losses(
    logits: Tensor,
    boxes: Tensor,
    targets: Sequence[Mapping[str, Tensor]],
    costs: Matching,
    masks: Tensor | None = None,
    known: tuple[Pairs, int] | None = None,
    masked: bool = False,
    words: Words | None = None,
) -> dict[str, Tensor]:
    """Match, and compare each query with its object, or with there being none.

    Args:
        logits: [B, Q, C + 1], of which the last label says that there is nothing; or [B, Q, C] where labels
            are told apart.
        boxes: [B, Q, 4].
        targets: see `checked`.
        costs: how pairs are found and weighed.
        masks: [B, Q, h, w], logits of the objects' pixels.
        known: the pairs, where they need no search, and how often each object is among them.
        masked: masks of the last layer count.
        words: see `match`.

    Returns:
        `loss_ce`, or `loss_vfl`; `loss_bbox` and `loss_giou`, sums over the pairs per object; and
        `cardinality_error`, by how many objects a picture is off, which has no gradient. For masks
        `loss_mask` (Lin et al. 2017, arXiv:1708.02002) and `loss_dice` (Milletari et al. 2016,
        arXiv:1606.04797), likewise.
    """
    pairs, times = (match(logits, boxes, targets, costs, masked, words), 1) if known is None else known
    rows = torch.cat([torch.full_like(query, row) for row, (query, _) in enumerate(pairs)])
    place = (rows, torch.cat([query for query, _ in pairs]))
    device = logits.device
    labels, right = (
        torch.cat([one[key][mine.to(device)] for one, (_, mine) in zip(targets, pairs, strict=True)])
        for key in ("class_labels", "boxes")
    )
    objects = max(sum(len(one["class_labels"]) for one in targets), 1) * times
    own, right = boxes[place].float(), right.float()
    if words is None:
        alike = overlap(corners(own.detach()), corners(right))
        found = label_losses(logits, costs, place, labels, objects, alike)
    else:
        found = word_losses(logits, costs, place, labels, objects, words)
    there = torch.tensor([len(one["class_labels"]) for one in targets], device=device)
    seen = _found(logits, costs).sum(1)
    found |= {
        "cardinality_error": (seen - there).abs().float().mean(),
        "loss_bbox": (own - right).abs().sum() / objects,
        "loss_giou": (1 - generalised_overlap(corners(own), corners(right))).sum() / objects,
    }
    if masks is None:
        return found
    shapes = [one["masks"][mine.to(device)] for one, (_, mine) in zip(targets, pairs, strict=True)]
    return found | mask_losses(masks[place], shapes, objects)


def label_losses(
    logits: Tensor,
    costs: Matching,
    place: tuple[Tensor, Tensor],
    labels: Tensor,
    objects: int,
    alike: Tensor,
) -> dict[str, Tensor]:
    """How far the labels of queries are from those of their objects.

    Args:
        logits: [B, Q, C + 1], or [B, Q, C].
        costs: how labels are told.
        place: row and query of each pair.
        labels: [N], int64, of the pairs' objects.
        objects: by how many the sum is divided.
        alike: [N], by how much the pairs' boxes overlap.
    """
    count, how, logits = costs.count(logits), costs.apart, logits.float()
    if how is None:
        every = torch.full(logits.shape[:2], count, device=logits.device)
        every[place] = labels
        weight = torch.ones(count + 1, device=logits.device)
        weight[count] = costs.nothing
        return {"loss_ce": F.cross_entropy(logits.transpose(1, 2), every, weight)}
    right = torch.zeros_like(logits)
    if how.loss == "focal":
        right[(*place, labels)] = 1.0
        return {"loss_ce": focal(logits, right, how.weight, how.power).sum() / objects}
    right[(*place, labels)] = alike
    weight = how.weight * logits.detach().sigmoid() ** how.power
    weight[(*place, labels)] = alike
    loss = F.binary_cross_entropy_with_logits(logits, right, weight, reduction="sum")
    return {"loss_vfl": loss / objects}


def word_losses(
    logits: Tensor,
    costs: Matching,
    place: tuple[Tensor, Tensor],
    labels: Tensor,
    objects: int,
    words: Words,
) -> dict[str, Tensor]:
    """How far the words of queries are from those of their objects' phrases; see `label_losses`."""
    how, right = costs.apart or Apart(), torch.zeros_like(logits, dtype=torch.float32)
    if len(labels):
        each = [
            words.names[row][label] for row, label in zip(place[0].tolist(), labels.tolist(), strict=True)
        ]
        right[place] = torch.stack(each)
    real = words.real[:, None].expand(logits.shape)
    lost = focal(logits.float()[real], right[real], how.weight, how.power)
    return {"loss_ce": lost.sum() / objects}


def _found(logits: Tensor, costs: Matching) -> Tensor:
    """Which queries say that something is there: [B, Q], bool."""
    if costs.apart is not None:
        return logits.amax(-1) > 0
    return logits.argmax(-1) != costs.count(logits)


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
    noisy: tuple[Sequence[Tensor], Sequence[Tensor], Mapping[str, Any]] | None = None,
    words: Words | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighed sum of the losses of all layers, and each of them.

    Args:
        logits: of the last layer, then of the others from the first on; each [B, Q, C + 1], or [B, Q, C].
        boxes: likewise; each [B, Q, 4].
        targets: see `checked`.
        costs: how pairs are found and weighed.
        masks: of the last layer alone, [B, Q, h, w].
        noisy: logits and boxes of queries that began at noisy objects, of all layers from the first on, and
            the `meta` of `proposing.Noisy`.
        words: see `match`.

    Returns:
        The sum, and the losses by name; those of another layer than the last end in its number, of noisy
        objects in `_dn_` and that.
    """
    count: Any = costs.count(logits[0]) if words is None else [len(one) for one in words.names]
    targets = checked(targets, len(logits[0]), count, logits[0].device, masks is not None)
    named = {}
    for i, (scores, places) in enumerate(zip(logits, boxes, strict=True)):
        ending = f"{costs.layer}{i - 1}" if i else ""
        own = losses(
            scores, places, targets, costs, None if i else masks, masked=masks is not None, words=words
        )
        named.update({f"{name}{ending}": value for name, value in own.items()})
    if noisy is not None:
        meta = noisy[2]
        times, ways = meta["dn_num_group"], zip(meta["dn_positive_idx"], targets, strict=True)
        pairs = [
            (one, torch.arange(len(there["boxes"]), device=one.device).repeat(times)) for one, there in ways
        ]
        for i, (scores, places) in enumerate(zip(*noisy[:2], strict=True)):
            own = losses(scores, places, targets, costs, known=(pairs, times))
            named.update({f"{name}_dn_{i}": value for name, value in own.items()})
    total, shown = torch.zeros((), device=logits[0].device), {}
    for name, value in named.items():
        weight = costs.weights.get(re.sub(r"(_aux|_dn)?(_\d+)?$", "", name))
        if weight is not None:
            total = total + weight * value
        if weight is not None or not costs.weighed:
            shown[name] = value * weight if costs.weighed and weight is not None else value
    return total, shown


def checked(
    targets: Any, pictures: int, count: int | Sequence[int], device: torch.device, masked: bool = False
) -> list[dict[str, Tensor]]:
    """The objects of each picture, on the device of the model.

    Args:
        targets: for each picture `class_labels`, int64 [N], and `boxes`, [N, 4]; other keys are left out.
        pictures: B, how many there are.
        count: C, how many labels the model tells apart, or a text for each picture.
        device: where the objects are compared.
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
    if len(targets) != pictures:
        raise ValueError(f"labels has {len(targets)} entries, but there are {pictures} pictures")
    found = []
    for place, one in enumerate(targets):
        if not all(isinstance(one.get(key), Tensor) for key in keys):
            raise TypeError(f"labels[{place}] needs the tensors {' and '.join(keys)}, but has {list(one)}")
        labels, boxes, *masks = (one[key].to(device) for key in keys)
        if masks and (masks[0].dim() != 3 or len(masks[0]) != len(labels)):
            raise ValueError(
                f"labels[{place}] holds masks of shape {list(masks[0].shape)} for {len(labels)} objects: "
                "they are [N, height, width]"
            )
        if labels.dim() != 1 or boxes.shape != (len(labels), 4):
            raise ValueError(
                f"labels[{place}] holds class_labels of shape {list(labels.shape)} and boxes of shape "
                f"{list(boxes.shape)}: they are [N] and [N, 4]"
            )
        known = count if isinstance(count, int) else count[place]
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < known:
            raise ValueError(
                f"labels[{place}] holds class_labels from {int(labels.min())} to {int(labels.max())}, but "
                f"the {'model' if isinstance(count, int) else 'text'} tells {known} apart (0 to {known - 1})"
            )
        if not bool((boxes[:, 2:] >= 0).all()):
            raise ValueError(
                f"labels[{place}] holds boxes of negative width or height: a box is (centre x, centre y, "
                "width, height), as shares of the picture"
            )
        found.append(dict(zip(keys, (labels.long(), boxes, *masks), strict=True)))
    return found
