"""Where objects may be: a box at every place of several maps, and boxes that stand beside true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.core.boxes import centred, corners
from formers.nn.box_refinement import logit
from formers.nn.mixers.deformable import Sizes

_EDGE, _SIDE = 0.01, 0.05  # how near an edge a box may lie, and how large one of the first map is


def proposals(
    sizes: Sizes, like: Tensor, real: Tensor | None = None, blank: float = torch.inf
) -> tuple[Tensor, Tensor]:
    """A box around every place, twice as large in each map as in the one before.

    Zhu et al. 2020, arXiv:2010.04159, appendix A.4.

    Args:
        sizes: of the maps.
        like: says dtype and device.
        real: [B, S], bool, which places are no padding; None for all.
        blank: the logits of boxes at edges and of padding.

    Returns:
        Boxes as logits, [B or 1, S, 4], and which of them count, [B or 1, S, 1], bool.
    """
    found, start = [], 0
    for level, (height, width) in enumerate(sizes):
        y, x = ((torch.arange(n, device=like.device).to(like.dtype) + 0.5)[None] for n in (height, width))
        if real is None:
            y, x = y / height, x / width
        else:
            part = real[:, start : start + height * width].view(-1, height, width)
            y, x = y / part[:, :, 0].sum(1, keepdim=True), x / part[:, 0].sum(1, keepdim=True)
            start += height * width
        grid = torch.stack((x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)), -1)
        found.append(torch.cat((grid, torch.full_like(grid, _SIDE * 2.0**level)), -1).flatten(1, 2))
    boxes = torch.cat(found, 1)
    good = ((boxes > _EDGE) & (boxes < 1 - _EDGE)).all(-1, keepdim=True)
    if real is not None:
        good = good & real[..., None]
    return torch.where(good, torch.log(boxes / (1 - boxes)), blank), good


@dataclass(frozen=True)
class Denoising:
    """Objects of the targets, with noise, which a decoder in training is to find again.

    Zhang et al. 2022, arXiv:2203.03605, section 3.3.

    Attributes:
        count: about how many queries that are, in groups that do not see each other; each has every object
            of a picture twice, and the second one, farther off, is to be taken for nothing.
        labels: C; the label C stands for none.
        wrong: share of the labels that are drawn anew, twice over.
        far: how far edges move, as a share of half the box's size.
    """

    count: int
    labels: int
    wrong: float
    far: float


@dataclass(eq=False)
class Noisy:
    """Queries for noisy objects.

    Attributes:
        labels: [B, D], int64.
        boxes: [B, D, 4], as logits.
        hidden: [D + Q, D + Q], bool: which queries do not see which, before Q others.
        meta: what callers see of them: `dn_positive_idx`, for each picture the queries that are to be found;
            `dn_num_group`, how many groups there are; `dn_num_split`, D and Q.
    """

    labels: Tensor
    boxes: Tensor
    hidden: Tensor
    meta: dict[str, Any]


def noisy(s: Denoising, targets: Sequence[Mapping[str, Tensor]], queries: int) -> Noisy | None:
    """Draw queries beside the objects of pictures; None where no picture shows any.

    Args:
        s: how many, and how noisy.
        targets: for each picture `class_labels` [N] and `boxes` [N, 4].
        queries: Q, how many stand behind them.
    """
    counts = [len(one["class_labels"]) for one in targets]
    most = max(counts, default=0)
    if s.count <= 0 or not most:
        return None
    groups, device = max(s.count // most, 1), targets[0]["class_labels"].device
    labels = torch.full((len(counts), most), s.labels, dtype=torch.int32, device=device)
    boxes = torch.zeros(len(counts), most, 4, device=device)
    there = torch.zeros(len(counts), most, dtype=torch.bool, device=device)
    for row, (count, one) in enumerate(zip(counts, targets, strict=True)):
        labels[row, :count], boxes[row, :count] = one["class_labels"].int(), one["boxes"].float()
        there[row, :count] = True
    labels, there = (one.repeat(1, 2 * groups) for one in (labels, there))
    boxes = boxes.repeat(1, 2 * groups, 1)
    width = boxes.shape[1]
    second = (torch.arange(width, device=device) // most % 2 == 1)[:, None]  # [D, 1], those farther off
    if s.wrong > 0:
        drawn = torch.rand(labels.shape, device=device) < s.wrong * 0.5
        other = torch.randint_like(labels, 0, s.labels)
        labels = torch.where(drawn & there, other, labels)
    if s.far > 0:
        sign = torch.randint_like(boxes, 0, 2) * 2.0 - 1.0
        share = (torch.rand_like(boxes) + second) * sign
        reach = boxes[..., 2:].repeat(1, 1, 2) * 0.5 * s.far
        boxes = logit(centred((corners(boxes) + share * reach).clamp(0, 1)))
    group = torch.arange(width + queries, device=device) // (2 * most)
    group[width:] = -1
    hidden = (group[:, None] != group[None]) & (group[None] >= 0)
    found = tuple((one & ~second[:, 0]).nonzero()[:, 0] for one in there)
    meta = {"dn_positive_idx": found, "dn_num_group": groups, "dn_num_split": [width, queries]}
    return Noisy(labels.long(), boxes, hidden, meta)
