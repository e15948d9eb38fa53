"""What people hand in (lists, numpy, torch) as checked numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from formers.core.arrays import sigmoid, softmax

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
LabelNames: TypeAlias = Sequence[str] | Mapping[Any, str] | None


def as_array(values: Any, what: str) -> NDArray[Any]:
    """`values` (numpy array, torch tensor on any device, nested sequence of either) as a numpy array.

    Raises:
        ValueError: when it is empty, or ragged.
    """
    if hasattr(values, "detach"):  # a torch tensor, without importing torch
        values = values.detach()
        values = (values.float() if values.is_floating_point() else values).cpu().numpy()
    elif isinstance(values, (list, tuple)) and len(values) and hasattr(values[0], "detach"):
        values = [as_array(value, what) for value in values]
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{what} must have rows of one length; they differ ({error})") from error
    if array.size == 0:
        raise ValueError(f"{what} is empty (shape {array.shape}): there is nothing to measure")
    return array


def as_logits(values: Any, what: str = "logits") -> Floats:
    """Finite scores [N, K] in float64.

    Raises:
        ValueError: when the shape is not [N, K], or a value is NaN or infinite.
    """
    array = as_array(values, what)
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(
            f"{what} must be [examples, labels] with at least two labels, got shape {array.shape}"
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} must be numbers, got dtype {array.dtype}")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{what} hold NaN or infinity in {bad.size} of {len(array)} rows (the first is row {bad[0]}): "
            "the model has diverged or the inputs are broken"
        )
    return array


def as_probabilities(values: Any, *, from_logits: bool = False, multi_label: bool = False) -> Floats:
    """Probabilities [N, K]: as given, or from logits when the caller says that they are logits.

    Raises:
        ValueError: when `from_logits` is False and the values cannot be probabilities.
    """
    array = as_logits(values, "logits" if from_logits else "probabilities")
    if from_logits:
        return sigmoid(array) if multi_label else softmax(array)
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            f"these are not probabilities: the values lie in [{low:.4g}, {high:.4g}]. Raw model outputs are "
            "logits: pass from_logits=True"
        )
    sums = array.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if not multi_label and abs(sums[worst] - 1) > 5e-3:  # bf16 softmax sums to one within 4e-3
        raise ValueError(
            f"these are not probabilities: row {worst} sums to {sums[worst]:.4g}, not 1. For logits pass "
            "from_logits=True; for independent labels use the multi-label metrics"
        )
    return np.clip(array, 0.0, 1.0)


def as_names(names: LabelNames, count: int) -> list[str]:
    """Names of `count` labels, from a list, from `config.id2label`, or LABEL_0, LABEL_1, ...

    Raises:
        ValueError: when the number of names is not `count`, or two are the same.
    """
    if names is None:
        return [f"LABEL_{index}" for index in range(count)]
    if isinstance(names, Mapping):
        by_index = {int(index): str(name) for index, name in names.items()}
        if sorted(by_index) != list(range(count)):
            raise ValueError(f"label_names must name 0 to {count - 1}, got the indices {sorted(by_index)}")
        result = [by_index[index] for index in range(count)]
    else:
        result = [str(name) for name in names]
    if len(result) != count:
        raise ValueError(f"there are {count} labels in the scores but {len(result)} label_names: {result}")
    if len(set(result)) != count:
        raise ValueError(f"label_names must differ from each other, got {result}")
    return result


def as_labels(values: Any, count: int, *, rows: int | None = None, names: LabelNames = None) -> Ints:
    """True labels [N] as indices below `count`; names are looked up in `names`.

    Raises:
        ValueError: for a wrong shape or length, a label out of range, or an unknown name.
    """
    array = as_array(values, "labels")
    if array.ndim != 1:
        raise ValueError(
            f"labels must be one per example, shape [N], got {array.shape}; for several labels per example "
            "use the multi-label metrics"
        )
    if rows is not None and len(array) != rows:
        raise ValueError(f"there are {len(array)} labels for {rows} rows of scores")
    if array.dtype.kind in "UO" and names is not None:
        index = {name: i for i, name in enumerate(as_names(names, count))}
        unknown = sorted({str(value) for value in array} - set(index))
        if unknown:
            raise ValueError(f"unknown labels {unknown[:5]}; the label names are {list(index)}")
        return np.array([index[str(value)] for value in array], dtype=np.int64)
    if array.dtype.kind not in "iub" and not (
        array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.round(array)).all()
    ):
        raise ValueError(
            f"labels must be whole numbers (or names, with label_names), got dtype {array.dtype}: {array[:3]}"
        )
    array = array.astype(np.int64)
    if array.min() < 0 or array.max() >= count:
        raise ValueError(
            f"labels must lie in 0..{count - 1} for scores of {count} labels, "
            f"found {array.min()}..{array.max()}"
        )
    return array


def as_label_matrix(values: Any, shape: tuple[int, ...]) -> Ints:
    """Multi-label truth [N, K] of zeros and ones.

    Raises:
        ValueError: for a wrong shape or other values.
    """
    array = as_array(values, "labels")
    if array.shape != shape:
        raise ValueError(f"multi-label truth must have the shape of the scores, {shape}, got {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError("multi-label truth must be zeros and ones")
    return array.astype(np.int64)
