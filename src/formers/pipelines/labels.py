"""Logits to labels with scores: what every pipeline that names classes does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from formers.core.arrays import sigmoid, softmax
from formers.pipelines.text.inputs import one_of

Scores = npt.NDArray[np.float32]


class ClassificationFunction(str, Enum):
    """What turns logits into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


APPLIED: dict[str, Callable[[Scores], Scores]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits,
}


def checked_function(function: Any) -> ClassificationFunction | None:
    """The function of that name; None for "default".

    Raises:
        ValueError: for another name.
    """
    name = str(getattr(function, "value", function)).lower()
    one_of("function_to_apply", name, [*(one.value for one in ClassificationFunction), "default"])
    return None if name == "default" else ClassificationFunction(name)


def function_of(config: Any) -> ClassificationFunction:
    """What a model's own problem type asks for."""
    if config.problem_type == "regression":
        return ClassificationFunction.NONE
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return ClassificationFunction.SIGMOID
    return ClassificationFunction.SOFTMAX


def labels_of(config: Any) -> list[str]:
    """Names of the labels, in the order of the model's outputs."""
    return [config.id2label[index] for index in range(len(config.id2label))]


def ranked(scores: Scores, labels: list[str], top_k: int | None) -> list[list[dict[str, Any]]]:
    """For each row of `scores` [B, C] the `top_k` labels (None: all), the best first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]  # [B, k]
    best = np.take_along_axis(scores, order, axis=1)
    return [
        [{"label": labels[index], "score": score} for index, score in zip(places, row, strict=True)]
        for places, row in zip(order.tolist(), best.tolist(), strict=True)
    ]


def candidates(given: Any) -> list[str]:
    """Labels of the caller's own, from a list, or from a string with commas between them.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(given, str):
        given = [label.strip() for label in given.split(",")]
    listed = hasattr(given, "__iter__") and not isinstance(given, Mapping)
    if not listed or any(
        not isinstance(one, str) and (one is None or hasattr(one, "__iter__")) for one in given
    ):
        raise TypeError(f'labels are a list such as ["one", "another"], or "one, another", not {given!r}')
    return [str(label) for label in given if label != ""]


def hypotheses(labels: Sequence[str], template: str) -> list[str]:
    """What each label claims, by a template with {} for the label.

    Raises:
        ValueError: without labels, or a place for them.
    """
    if not labels:
        raise ValueError('there are no labels: pass candidate_labels=["one", "another"]')
    found = [template.format(label) for label in labels]
    if template == found[0]:
        raise ValueError(f"hypothesis_template={template!r} has no {{}} where the label goes")
    return found
