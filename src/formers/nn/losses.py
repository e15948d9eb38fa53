"""Losses of the task heads. Each can be normalised by the item count of a whole accumulation window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Tensor, labels: Tensor, items: Any = None, ignore: int = -100, smoothing: float = 0.0
) -> Tensor:
    """Mean cross entropy, computed in float32.

    Args:
        logits: [..., C].
        labels: [...], int64; `ignore` marks places without a label.
        items: divisor in place of the number of labels here (gradient accumulation); None for the mean.
        ignore: the label that is left out.
        smoothing: weight of all C alike in the targets.

    Returns:
        Scalar, float32.
    """
    _check_tensor(labels)
    flat, target = logits.reshape(-1, logits.shape[-1]).float(), labels.reshape(-1).to(logits.device)
    try:
        loss = F.cross_entropy(
            flat,
            target,
            ignore_index=ignore,
            reduction="mean" if items is None else "sum",
            label_smoothing=smoothing,
        )
    except IndexError as error:  # on a CPU: elsewhere the device reports it
        count = flat.shape[1]
        wrong = target[(target != ignore) & ((target < 0) | (target >= count))]
        if not len(wrong):
            raise
        raise IndexError(
            f"the labels hold {int(wrong[0])}, but the model tells {count} apart (0 to {count - 1}): number "
            f"the labels from 0, and load the model with num_labels= as many as there are"
        ) from error
    return loss if items is None else loss / _count(items, loss)


def _check_tensor(labels: Any) -> None:
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels must be a tensor, not {type(labels).__name__}: torch.tensor(labels)")


def next_token(logits: Tensor, labels: Tensor, items: Any = None) -> Tensor:
    """Cross entropy of each token given the ones before it. `logits` [B, T, V], `labels` [B, T]."""
    return cross_entropy(logits, following(labels), items)


def following(labels: Tensor) -> Tensor:
    """The label behind each place, none behind the last: so logits need no cut. [B, T] -> [B, T]."""
    _check_tensor(labels)
    return F.pad(labels[:, 1:], (0, 1), value=-100)


def classification(
    logits: Tensor, labels: Tensor, problem: str | None, num_labels: int, items: Any = None
) -> tuple[Tensor, str]:
    """Loss of a sequence classifier, by problem type.

    Args:
        logits: [B, C].
        labels: [B] int64 (single label), [B] or [B, C] float (regression), [B, C] float (multi-label).
        problem: "regression", "single_label_classification", "multi_label_classification", or None to
            decide from the labels as the ecosystem does.
        num_labels: C.
        items: divisor in place of the number of examples here.

    Returns:
        Scalar loss, and the problem type that was used.

    Raises:
        ValueError: for an unknown problem type, or labels whose shape does not fit it.
    """
    _check_tensor(labels)
    labels = labels.to(logits.device)
    if problem is None:
        whole = labels.dtype in (torch.long, torch.int)
        problem = (
            "regression" if num_labels == 1 else f"{'single' if whole else 'multi'}_label_classification"
        )
    if problem == "single_label_classification":
        return cross_entropy(logits, labels.long(), items), problem
    if problem == "regression":
        pair = (
            logits.reshape(-1) if num_labels == 1 else logits,
            labels.reshape(-1) if num_labels == 1 else labels,
        )
        return _mean(F.mse_loss(pair[0], pair[1].to(logits.dtype), reduction="none"), items), problem
    if problem == "multi_label_classification":
        if labels.shape != logits.shape:
            raise ValueError(
                f"multi-label classification takes one 0/1 label per class, {list(logits.shape)}, "
                f"but the labels have shape {list(labels.shape)}"
            )
        loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
        return _mean(loss, items), problem
    raise ValueError(
        f"problem_type must be 'regression', 'single_label_classification' or 'multi_label_classification', "
        f"but is {problem!r}"
    )


def binary(logits: Tensor, labels: Tensor, real: Tensor | None = None, items: Any = None) -> Tensor:
    """Mean binary cross entropy of every place.

    Args:
        logits: [...].
        labels: [...], 0 or 1; -100 marks places without a label.
        real: [...], 1 at places that count; None when all do.
        items: divisor in place of the number of places that count here.

    Returns:
        Scalar.
    """
    _check_tensor(labels)
    labels = labels.to(logits.device)
    counts = labels != -100 if real is None else (labels != -100) & (real.to(logits.device) == 1)
    each = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return each.where(counts, 0.0).sum() / (counts.sum() if items is None else _count(items, logits))


def balance(logits: Sequence[Tensor], chosen: int, real: Tensor | None = None) -> Tensor:
    """How unevenly experts are used: 1 for evenly, more otherwise (Fedus et al. 2021, arXiv:2101.03961, (4)).

    Args:
        logits: of every router, [N, experts].
        chosen: experts that read each token.
        real: [N], which rows hold tokens; None when all do.

    Returns:
        Scalar, float32.
    """
    rows = torch.cat([one.to(logits[0].device) for one in logits])  # [layers * N, experts]
    shares = rows.softmax(-1)
    used = torch.zeros_like(shares).scatter(1, shares.topk(chosen).indices, 1.0).float()
    weight = shares.new_ones(rows.shape[0]) if real is None else real.to(rows.device).repeat(len(logits))
    weight = weight.float()[:, None] / weight.sum()
    return ((used * weight).sum(0) * (shares.float() * weight).sum(0)).sum() * rows.shape[1]


def balance_by_row(logits: Sequence[Tensor], chosen: int, real: Tensor | None = None) -> Tensor:
    """The mean of what `balance` finds in every row. `logits` [B, T, experts] each, `real` [B, T]. Scalar."""
    rows = range(logits[0].shape[0])
    each = [balance([one[i] for one in logits], chosen, None if real is None else real[i]) for i in rows]
    return torch.stack(each).mean()


def steady(logits: Sequence[Tensor], real: Tensor | None = None) -> Tensor:
    """How large routers' logits are (Zoph et al. 2022, arXiv:2202.08906, (5)): mean square of logsumexp.

    Args:
        logits: of every router, [B, T, experts].
        real: [B, T], which places hold tokens; None when all do.

    Returns:
        Scalar.
    """
    squares = torch.stack([one.float().logsumexp(-1).square() for one in logits])  # [layers, B, T]
    return squares.mean() if real is None else squares[:, real.bool()].mean()


def span(start: Tensor, end: Tensor, start_at: Tensor, end_at: Tensor, items: Any = None) -> Tensor:
    """Mean of the losses of the first and the last token. `start`, `end` [B, T]; targets [B] or [B, 1].

    Targets outside the sequence are left out.
    """
    length = start.shape[1]
    targets = [t.reshape(-1).clamp(0, length).to(start.device) for t in (start_at, end_at)]
    losses = [cross_entropy(x, t, items, ignore=length) for x, t in zip((start, end), targets, strict=True)]
    return (losses[0] + losses[1]) / 2


def _mean(values: Tensor, items: Any) -> Tensor:
    if items is None:
        return values.mean()
    # an item is an example: the classes of one example still share one weight
    mean: Tensor = values.reshape(values.shape[0], -1).mean(1).sum() / _count(items, values)
    return mean


def _count(items: Any, like: Tensor) -> Any:
    return items.to(like.device) if isinstance(items, Tensor) else items


def contrastive(similarity: Tensor) -> Tensor:
    """Cross entropy of finding each text's image and each image's text (Radford et al. 2021, section 2.3).

    Args:
        similarity: [texts, images]; text i belongs to image i.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: for more of one than of the other.
    """
    own = torch.arange(_pairs(similarity), device=similarity.device)
    return (cross_entropy(similarity, own) + cross_entropy(similarity.t(), own)) / 2


def of_texts(similarity: Tensor) -> Tensor:
    """Cross entropy of finding each text's partner alone.

    Args:
        similarity: [texts, others]; text i belongs to other i.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: for more of one than of the other.
    """
    return cross_entropy(similarity, torch.arange(_pairs(similarity), device=similarity.device))


def pairwise(similarity: Tensor) -> Tensor:
    """Each text and each image judged by themselves, as a pair or none (Zhai et al. 2023, arXiv:2303.15343).

    Args:
        similarity: [texts, images]; text i belongs to image i.

    Returns:
        Scalar, float32: the mean over texts of the sum over images.

    Raises:
        ValueError: for more of one than of the other.
    """
    own = torch.eye(_pairs(similarity), device=similarity.device)
    return -torch.nn.functional.logsigmoid(similarity.float() * (2 * own - 1)).sum(-1).mean()


def _pairs(similarity: Tensor) -> int:
    """How many pairs there are."""
    if similarity.shape[0] != similarity.shape[1]:
        raise ValueError(
            f"the loss pairs the first text with the first image or sound and so on, but there are "
            f"{similarity.shape[0]} texts and {similarity.shape[1]} images or sounds"
        )
    return len(similarity)


def semantic(logits: Tensor, labels: Tensor, ignore: int = 255) -> Tensor:
    """Mean cross entropy of every pixel, or, of one label, the mean of a binary one.

    Args:
        logits: [B, C, h, w], enlarged to the labels' size.
        labels: [B, H, W], int64; `ignore` marks pixels without a label. Of one label, 0 or 1.
        ignore: the label that is left out.

    Returns:
        Scalar.

    Raises:
        ValueError: for labels that are no maps.
    """
    if labels.dim() != 3 or len(labels) != len(logits):
        raise ValueError(f"labels are maps [{len(logits)}, height, width], not {list(labels.shape)}")
    large = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=False)
    if logits.shape[1] > 1:
        return cross_entropy(large.movedim(1, -1), labels, ignore=ignore)
    counted = (labels >= 0) & (labels != ignore)
    apart = F.binary_cross_entropy_with_logits(large[:, 0], labels.to(large.dtype), reduction="none")
    return (apart * counted).mean()


def log_depth(depths: Tensor, right: Tensor, share: float = 0.5) -> Tensor:
    """How far logarithms of depths are off, less what all are off alike (arXiv:1406.2283, section 3.2).

    Args:
        depths: [B, H, W], above 0.
        right: [B, H, W]; pixels whose depth is unknown hold 0.
        share: of the mean difference that is forgiven.

    Returns:
        Scalar.

    Raises:
        ValueError: for depths of another size.
    """
    if depths.shape != right.shape:
        raise ValueError(
            f"labels hold a depth for every pixel, {list(depths.shape)}, not {list(right.shape)}"
        )
    known = right > 0
    apart = torch.log(right[known]) - torch.log(depths[known])
    return torch.sqrt(apart.square().mean() - share * apart.mean().square())


def spelled(
    logits: Tensor, labels: Tensor, lengths: Tensor, blank: int, reduction: str, finite: bool
) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006), in float32.

    Args:
        logits: [B, T, V].
        labels: [B, L], int64; below 0 where there is none.
        lengths: [B], how many rows of each are real.
        blank: the label between labels.
        reduction: "sum" or "mean", of each by its labels and then of all.
        finite: what no path spells counts for nothing.
    """
    _check_tensor(labels)
    there = labels >= 0
    shares = logits.float().log_softmax(-1).transpose(0, 1)
    with torch.backends.cudnn.flags(enabled=False):  # it wants other dtypes and orders
        return F.ctc_loss(shares, labels[there], lengths, there.sum(-1), blank, reduction, finite)
