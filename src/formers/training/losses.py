"""Losses and what they are divided by: real items, class weights, focal loss, label smoothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from formers.core.notices import notice

IGNORED = -100  # the label that no loss counts


def shifts_labels(model: nn.Module) -> bool:
    """Whether the loss compares position i with label i + 1, so that a row's first label does not count.

    A model says so with an attribute `shifts_labels`; else decoder heads are known by their class names.
    """
    said = getattr(model, "shifts_labels", None)
    if said is not None:
        return bool(said)
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return False
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def count_items(inputs: Any, label_names: Sequence[str], shifted: bool) -> Tensor | int:
    """Number of items whose losses a batch's loss is the mean of.

    Integer labels count where they are not -100 (past the first of each row for a model that shifts them);
    an example with floating-point targets is one item. Without a field "labels", examples count.
    """
    counts = isinstance(inputs, Mapping) and ("labels" in label_names or not label_names)
    labels = inputs.get("labels") if counts else None
    if isinstance(labels, Tensor):
        if labels.is_floating_point():
            return int(labels.shape[0]) if labels.dim() else 1
        if shifted and labels.dim() > 1:
            labels = labels[..., 1:]
        return (labels != IGNORED).sum()
    return count_examples(inputs)


def count_examples(inputs: Any) -> int:
    """Rows of a batch: the first dimension of its first tensor, searched in nested containers."""
    if isinstance(inputs, Tensor):
        return int(inputs.shape[0]) if inputs.dim() else 1
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    counts = map(count_examples, values if isinstance(inputs, (Mapping, list, tuple)) else ())
    return next(filter(None, counts), 0)


def weights_from_counts(counts: Sequence[int] | Mapping[int, int], scheme: str, classes: int) -> Tensor:
    """Weights [C] against imbalance, scaled so that their mean over the counted labels is 1.

    Args:
        counts: how often each class occurs.
        scheme: "balanced", one over the frequency, or "sqrt", one over its square root.
        classes: number of classes C; one that never occurs gets the weight of one occurrence.
    """
    lookup = counts.get if isinstance(counts, Mapping) else lambda i, default: counts[i]
    seen = torch.tensor([float(max(1, lookup(i, 0) or 0)) for i in range(classes)])
    frequency = seen / seen.sum()
    weights = frequency.reciprocal() if scheme == "balanced" else frequency.rsqrt()
    return weights / (weights * frequency).sum()


class LabelLoss:
    """Cross-entropy with class weights, focal modulation and label smoothing, normalised by items.

    The sum over the labels that are not -100 is divided by `num_items` (their number in this batch unless
    given), never by the sum of the weights: a window of small batches then equals the large batch exactly.

    Args:
        weights: [C] per class, or None.
        focal_gamma: exponent of (1 - p), Lin et al. 2017, "Focal Loss", equation 4; 0 is plain.
        smoothing: share of the target that is spread over all classes.
    """

    def __init__(
        self, weights: Tensor | None = None, focal_gamma: float = 0.0, smoothing: float = 0.0
    ) -> None:
        self.weights = weights
        self.focal_gamma = focal_gamma
        self.smoothing = smoothing

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        num_items: Tensor | float | None = None,
        *,
        shifted: bool = False,
    ) -> Tensor:
        """The loss of `logits` [..., C] for integer `labels` [...], in float32."""
        if shifted:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        scores = logits.reshape(-1, logits.shape[-1]).float()  # [N, C]
        targets = labels.reshape(-1)  # [N]
        weights = self.weights.to(scores) if self.weights is not None else None
        if weights is not None and len(weights) != scores.shape[-1]:
            raise ValueError(
                f"class_weights has {len(weights)} entries, the model has {scores.shape[-1]} classes"
            )
        if self.focal_gamma:
            each = F.cross_entropy(scores, targets, weights, reduction="none", label_smoothing=self.smoothing)
            plain = F.cross_entropy(scores, targets, reduction="none")
            total = ((1.0 - torch.exp(-plain)).pow(self.focal_gamma) * each).sum()
        else:
            total = F.cross_entropy(scores, targets, weights, reduction="sum", label_smoothing=self.smoothing)
        return total / ((targets != IGNORED).sum() if num_items is None else num_items)


class LabelSmoother:
    """Label smoothing over a model's output, for custom loops: `smoother(outputs, labels)`."""

    def __init__(self, epsilon: float = 0.1, ignore_index: int = IGNORED) -> None:
        self.epsilon = epsilon
        self.ignore_index = ignore_index

    def __call__(self, model_output: Any, labels: Tensor, shift_labels: bool = False) -> Tensor:
        """The smoothed loss, mean over the labels that count."""
        logits = (
            model_output["logits"]
            if isinstance(model_output, Mapping) or hasattr(model_output, "keys")
            else model_output[0]
        )
        labels = labels.masked_fill(labels == self.ignore_index, IGNORED)
        return LabelLoss(smoothing=self.epsilon)(logits, labels, shifted=shift_labels)


def label_loss(args: Any, labels: Callable[[], Iterable[Any] | None], model: nn.Module) -> LabelLoss | None:
    """The loss that the arguments ask for, or None where the model's own is meant.

    Raises:
        ValueError: when class weights cannot be computed or do not fit the task.
    """
    if not (args.class_weights is not None or args.focal_gamma or args.label_smoothing_factor):
        return None
    config = getattr(model, "config", None)
    problem = getattr(config, "problem_type", None)
    if problem in ("multi_label_classification", "regression") or getattr(config, "num_labels", 2) == 1:
        raise ValueError(
            "class_weights, focal_gamma and label_smoothing_factor are for one label out of several; this "
            f"model's task is {problem or 'regression (num_labels=1)'}: leave them out"
        )
    weights = None
    if isinstance(args.class_weights, str):
        counts = count_labels(labels())
        if not counts:
            raise ValueError(
                f"class_weights={args.class_weights!r} is computed from the labels of the training set, "
                "which could not be read without going through it: pass class_weights=[one number per class]"
            )
        classes = int(getattr(config, "num_labels", None) or max(counts) + 1)
        weights = weights_from_counts(counts, args.class_weights, classes)
    elif args.class_weights is not None:
        weights = torch.tensor([float(weight) for weight in args.class_weights])
    return LabelLoss(weights, args.focal_gamma, args.label_smoothing_factor)


def count_labels(labels: Iterable[Any] | None) -> Counter[int]:
    """How often each whole-number label occurs, in flat or nested lists; -100 and all else is left out."""
    counts: Counter[int] = Counter()
    if labels is None:
        return counts
    for label in labels:
        if isinstance(label, Tensor):
            label = label.tolist()
        if isinstance(label, (list, tuple)):
            counts.update(entry for entry in label if isinstance(entry, int) and entry != IGNORED)
        elif isinstance(label, bool) or not hasattr(label, "__index__"):
            return Counter()
        elif int(label) != IGNORED:
            counts[int(label)] += 1
    return counts


def notice_imbalance(counts: Mapping[int, int], names: Mapping[int, str] | None = None) -> None:
    """Say once that the labels are imbalanced (more than ten to one), and what to do."""
    seen = {label: count for label, count in counts.items() if count}
    if len(seen) < 2:
        return
    most, least = max(seen, key=lambda k: seen[k]), min(seen, key=lambda k: seen[k])
    if seen[most] > 10 * seen[least]:
        name = (names or {}).get
        notice(
            f"Labels are imbalanced: {name(most, most)!r} occurs {seen[most]} times, {name(least, least)!r} "
            f"{seen[least]}. Judge by macro-F1, not accuracy; class_weights='sqrt' (or 'balanced', or "
            "focal_gamma=2) in the arguments weighs rare labels more.",
            key="imbalanced labels",
        )
