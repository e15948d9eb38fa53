"""How sure the model must be, label by label, before nobody looks at its answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from formers.core.notices import did_you_mean
from formers.evaluation.arrays import Floats, LabelNames, as_array, as_labels, as_names, as_probabilities
from formers.evaluation.records import Record, built, check_fields

DEFAULT = 0.75


def wilson_lower(right: int, total: int, z: float = 1.6449) -> float:
    """Lower end of Wilson's interval for a share (one-sided 95 % with the default z); 0 of nothing is 0."""
    if total == 0:
        return 0.0
    share = right / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + z * z / total))


@dataclasses.dataclass(frozen=True)
class LabelThreshold:
    """One label's threshold, and what it gave on the split it was fitted on.

    Attributes:
        label: the label's name.
        threshold: the least score that is accepted; None when every answer goes to a human.
        coverage: share of the answers with this label that are accepted.
        precision: share of the accepted answers that are right; None when none is accepted.
        precision_lower: lower end of its one-sided 95 % interval (Wilson).
        answered: number of answers with this label.
        accepted: how many of them are accepted.
        reason: why there is no threshold, in words.
    """

    label: str
    threshold: float | None
    coverage: float = 0.0
    precision: float | None = None
    precision_lower: float | None = None
    answered: int = 0
    accepted: int = 0
    reason: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class Thresholds(Record):
    """The thresholds of all labels of a model.

    Attributes:
        labels: one record per label, in the order of the model's outputs.
        wanted_precision: what they were fitted for; None when they were set by hand.
        default: the threshold of a label that is not in `labels`.
        fitted_on: number of examples of the validation split.
    """

    file_name = "thresholds.json"

    labels: tuple[LabelThreshold, ...]
    wanted_precision: float | None = None
    default: float = DEFAULT
    fitted_on: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in [("default", self.default), *((r.label, r.threshold) for r in self.labels)]:
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"the threshold of {name!r} must lie in 0..1, got {value!r}")
        as_names(self.names, len(self.labels))

    @property
    def names(self) -> list[str]:
        """The labels' names, in order."""
        return [record.label for record in self.labels]

    @classmethod
    def fixed(cls, label_names: Sequence[str], threshold: float = DEFAULT) -> Thresholds:
        """The same threshold for every label."""
        return cls(tuple(LabelThreshold(str(name), threshold) for name in label_names), default=threshold)

    def of(self, label: str) -> float | None:
        """The threshold of `label`: None when it always goes to a human, `default` for an unknown label."""
        return self._by_label.get(label, self.default)

    @cached_property
    def _by_label(self) -> dict[str, float | None]:
        return {record.label: record.threshold for record in self.labels}

    def accepts(self, label: str, score: float) -> bool:
        """Whether the answer `label` with `score` stands without a human (False for NaN)."""
        threshold = self.of(label)
        return threshold is not None and score >= threshold

    def for_labels(self, label_names: Sequence[str]) -> Thresholds:
        """One threshold for each label of a model, in the model's order; `default` where none was given.

        Args:
            label_names: the model's labels, in the order of its outputs.

        Raises:
            ValueError: when a threshold was given for a label that the model does not have.
        """
        names = [str(name) for name in label_names]
        if names == self.names:
            return self
        given = {record.label: record for record in self.labels}
        strange = next((name for name in given if name not in names), None)
        if strange is not None:
            raise ValueError(
                f"the thresholds are for the labels {self.names}, the model knows {names}: "
                f"{strange!r} is none of them{did_you_mean(strange, names)}"
            )
        rows = tuple(given.get(name, LabelThreshold(name, self.default)) for name in names)
        return dataclasses.replace(self, labels=rows)

    def decide(self, probabilities: Any, label_names: Sequence[str] | None = None) -> tuple[Any, Any]:
        """The best label and whether it is accepted.

        Args:
            probabilities: [K] for one text, giving (int, bool); [N, K] for many, giving two arrays [N].
            label_names: the model's labels in the order of its outputs, as `for_labels` takes them; without
                them the thresholds must be those of all labels, in that order.

        Raises:
            ValueError: for values that are not probabilities, or another number of labels.
        """
        if label_names is not None:
            return self.for_labels(label_names).decide(probabilities)
        array = as_array(probabilities, "probabilities")
        single = array.ndim == 1
        scores = as_probabilities(array[None] if single else array)
        if scores.shape[1] != len(self.labels):
            raise ValueError(
                f"there are {len(self.labels)} thresholds but {scores.shape[1]} probabilities a text: pass "
                "label_names= (the model's labels in order), so that labels without one get the default"
            )
        # a threshold that no score reaches stands for "always to a human"
        limits = np.array([math.inf if r.threshold is None else r.threshold for r in self.labels])
        best = scores.argmax(axis=1)
        accepted = scores[np.arange(len(best)), best] >= limits[best]
        return (int(best[0]), bool(accepted[0])) if single else (best, accepted)

    def measure(
        self, probabilities: Any, labels: Any, label_names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What these thresholds do on other data: coverage and precision, in all and per label.

        Args:
            probabilities: [N, K].
            labels: true labels [N], indices or names.
            label_names: as in `decide`.
        """
        if label_names is not None:
            return self.for_labels(label_names).measure(probabilities, labels)
        best, accepted = self.decide(probabilities)
        truth = as_labels(labels, len(self.labels), rows=len(best), names=self.names)
        right = best == truth
        per_label = {}
        for index, name in enumerate(self.names):
            mine = best == index
            per_label[name] = _share(right[mine], accepted[mine])
        return {**_share(right, accepted), "per_label": per_label}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Thresholds:
        """The record from plain values; also the short form `{"labels": {"Billing": 0.8}}`."""
        rows = values.get("labels")
        if isinstance(rows, dict):
            rows = [{"label": label, "threshold": threshold} for label, threshold in rows.items()]
        if not rows or not isinstance(rows, list | tuple):
            raise ValueError(f"thresholds need 'labels', one record for each, found {rows!r}"[:500])
        made = tuple(built(LabelThreshold, row, f"entry {i} of 'labels'") for i, row in enumerate(rows, 1))
        return super().from_dict({**values, "labels": made})


def _share(right: Any, accepted: Any) -> dict[str, Any]:
    taken = int(accepted.sum())
    good = int(right[accepted].sum())
    return {
        "answered": len(right),
        "accepted": taken,
        "coverage": taken / len(right) if len(right) else 0.0,
        "precision": good / taken if taken else None,
        "precision_lower": wilson_lower(good, taken) if taken else None,
    }


def fit_thresholds(
    probabilities: Any,
    labels: Any,
    label_names: LabelNames = None,
    *,
    precision: float = 0.9,
    minimum_support: int = 10,
    use_lower_bound: bool = False,
    floor: float = 0.0,
    from_logits: bool = False,
    default: float = DEFAULT,
) -> Thresholds:
    """For each label the lowest threshold whose accepted answers are right as often as wanted.

    Fit on a split that the model was not trained on. The precision on new data scatters around the wanted
    one, the more the fewer answers there were; `use_lower_bound` asks for a margin.

    Args:
        probabilities: calibrated probabilities [N, K] (or logits with `from_logits`).
        labels: true labels [N].
        label_names: K names.
        precision: the share of accepted answers that must be right.
        minimum_support: a threshold must accept at least so many answers; below, one cannot tell.
        use_lower_bound: the lower end of the precision's interval must reach it, not the measured share.
        floor: no threshold lies below, and the precision must be reached at or above it; at 0.5, what is
            more likely wrong than right goes to a person.
        from_logits: `probabilities` are logits.
        default: the threshold of labels that the record does not know.

    Raises:
        ValueError: for values that are not probabilities, wrong shapes, or a precision outside 0..1.
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision must lie above 0 and at most at 1, got {precision!r}")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor must lie between 0 and 1, got {floor!r}")
    if minimum_support < 1:
        raise ValueError(f"minimum_support must be at least 1, got {minimum_support!r}")
    scores = as_probabilities(probabilities, from_logits=from_logits)
    names = as_names(label_names, scores.shape[1])
    truth = as_labels(labels, len(names), rows=len(scores), names=label_names)
    best = scores.argmax(axis=1)
    wish = _Wish(precision, minimum_support, use_lower_bound, floor)
    rows = []
    for index, name in enumerate(names):
        mine = best == index
        rows.append(_fit_one(name, scores[mine, index], truth[mine] == index, wish))
    return Thresholds(tuple(rows), precision, default, len(scores))


@dataclasses.dataclass(frozen=True)
class _Wish:
    """What a threshold must give, as `fit_thresholds` takes it."""

    precision: float
    least: int
    lower: bool
    floor: float

    @property
    def where(self) -> str:
        return f" at or above the floor of {self.floor:g}" if self.floor else ""


def _fit_one(name: str, scores: Floats, right: Any, wish: _Wish) -> LabelThreshold:
    total = len(scores)
    order = np.argsort(-scores, kind="stable")
    scores, good = scores[order], np.cumsum(right[order])
    eligible = int((scores >= wish.floor).sum())  # what lies below the floor goes to a human in any case
    if eligible < wish.least:
        reason = f"only {eligible} answers{wish.where}, {wish.least} are needed"
        return LabelThreshold(name, None, answered=total, reason=reason)
    chosen = 0
    for taken in range(wish.least, eligible + 1):
        if taken < total and scores[taken] == scores[taken - 1]:
            continue  # equal scores are accepted together
        count = int(good[taken - 1])
        reached = wilson_lower(count, taken) if wish.lower else count / taken
        if reached >= wish.precision:
            chosen = taken
    if not chosen:
        reason = f"no threshold{wish.where} reaches a precision of {wish.precision:g}"
        return LabelThreshold(name, None, answered=total, reason=reason)
    count = int(good[chosen - 1])
    return LabelThreshold(
        name,
        _between(scores, chosen, eligible, wish.floor),
        chosen / total,
        count / chosen,
        wilson_lower(count, chosen),
        total,
        chosen,
    )


def _between(scores: Floats, chosen: int, eligible: int, floor: float) -> float:
    """A threshold that accepts the first `chosen` of the falling `scores` and no other."""
    edge = float(scores[chosen - 1])
    if chosen == len(scores):
        return edge
    if chosen == eligible:
        return floor  # the next score lies below it
    # half way to the next score, so that rounding elsewhere does not change a decision
    return (edge + float(scores[chosen])) / 2


def coverage_curve(probabilities: Any, labels: Any, *, points: int = 101) -> list[dict[str, float]]:
    """Coverage and precision for one threshold over all labels, 0 to 1, as far as it accepts anything."""
    scores = as_probabilities(probabilities)
    truth = as_labels(labels, scores.shape[1], rows=len(scores))
    top, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    result = []
    for threshold in np.linspace(0, 1, points):
        accepted = top >= threshold
        if accepted.any():
            result.append(
                {
                    "threshold": float(threshold),
                    "coverage": float(accepted.mean()),
                    "precision": float(right[accepted].mean()),
                }
            )
    return result
