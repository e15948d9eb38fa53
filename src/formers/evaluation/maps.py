"""How well labels of pixels fit those that are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NONE = 255  # what the background becomes where labels are reduced


def mean_iou(
    predictions: Sequence[Any],
    references: Sequence[Any],
    num_labels: int,
    ignore_index: int,
    nan_to_num: float | None = None,
    label_map: Mapping[int, int] | None = None,
    reduce_labels: bool = False,
) -> dict[str, Any]:
    """Intersection over union of each label's pixels in all pictures together, and the mean over labels.

    Args:
        predictions: for each picture the labels that were found, [H, W], integers.
        references: those that are right, of the same sizes.
        num_labels: C, how many labels there are.
        ignore_index: pixels where this is right do not count.
        nan_to_num: stands for what labels without any pixel have, in place of NaN.
        label_map: labels that are right -> what they count as.
        reduce_labels: right labels are one lower, and what was 0 is 255.

    Returns:
        `mean_iou` and `mean_accuracy` over the labels that have pixels, `overall_accuracy`, and
        `per_category_iou` and `per_category_accuracy`, [C].

    Raises:
        ValueError: for another number of pictures, other sizes, and labels that are none of the C.
    """
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions, but {len(references)} references")
    both = found = right = np.zeros(num_labels, np.int64)
    for place, (own, wanted) in enumerate(zip(predictions, references, strict=True)):
        one, two = np.asarray(own), _mapped(np.array(wanted), label_map, reduce_labels)
        if one.shape != two.shape:
            raise ValueError(
                f"picture {place} has predictions of shape {list(one.shape)} for references of shape "
                f"{list(two.shape)}: enlarge the logits to the labels' size first"
            )
        counts = two != ignore_index
        one, two = one[counts], two[counts]
        for name, labels in (("predictions", one), ("references", two)):
            if labels.size and not 0 <= labels.min() <= labels.max() < num_labels:
                raise ValueError(
                    f"{name} of picture {place} hold labels from {labels.min()} to {labels.max()}, but "
                    f"num_labels={num_labels} (0 to {num_labels - 1}), and ignore_index={ignore_index}"
                )
        both = both + _counted(one[one == two], num_labels)
        found, right = found + _counted(one, num_labels), right + _counted(two, num_labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou, accuracy, overall = both / (found + right - both), both / right, both.sum() / right.sum()
    measured: dict[str, Any] = {
        "mean_iou": _mean(iou),
        "mean_accuracy": _mean(accuracy),
        "overall_accuracy": float(overall),
        "per_category_iou": iou,
        "per_category_accuracy": accuracy,
    }
    if nan_to_num is None:
        return measured
    return {name: np.nan_to_num(value, nan=nan_to_num) for name, value in measured.items()}


def _mapped(labels: NDArray[Any], names: Mapping[int, int] | None, reduced: bool) -> NDArray[Any]:
    before = labels.copy()
    for old, new in (names or {}).items():
        labels[before == old] = new
    if reduced:
        labels = labels.astype(np.int64)
        labels = np.where((labels == 0) | (labels == _NONE), _NONE, labels - 1)
    return labels


def _counted(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    return np.bincount(labels.astype(np.int64).ravel(), minlength=count)


def _mean(values: NDArray[Any]) -> float:
    """Over those that are numbers; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
