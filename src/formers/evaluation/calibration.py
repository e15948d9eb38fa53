"""Whether a score means what it says: calibration error, and temperature scaling that mends it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from formers.core.arrays import sigmoid, softmax
from formers.core.notices import notice
from formers.evaluation.arrays import (
    Floats,
    Ints,
    as_label_matrix,
    as_labels,
    as_logits,
    as_probabilities,
)
from formers.evaluation.records import Record, check_fields

COLDEST, HOTTEST = 0.05, 20.0  # the temperatures searched
LEAST, MOST = 1e-4, 1e4  # those taken: beyond, logits over or under flow


@dataclasses.dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: scores in (`low`, `high`], their mean, how often they were right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(
    labels: Any, probabilities: Any, *, bins: int = 15, adaptive: bool = False, from_logits: bool = False
) -> list[Bin]:
    """Bins of the winning score against how often the winner is right (empty bins are left out).

    Args:
        labels: true labels [N].
        probabilities: [N, K], or logits with `from_logits`.
        bins: how many.
        adaptive: bins of equal mass (Nixon et al. 2019, arXiv:1904.01685) in place of equal width.
        from_logits: the values are logits.
    """
    scores = as_probabilities(probabilities, from_logits=from_logits)
    truth = as_labels(labels, scores.shape[1], rows=len(scores))
    return _bins(scores.max(axis=1), (scores.argmax(axis=1) == truth).astype(np.float64), bins, adaptive)


def _bins(confidence: Floats, right: Floats, bins: int, adaptive: bool) -> list[Bin]:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    if adaptive:
        cuts = [round(i * len(order) / bins) for i in range(bins + 1)]
    else:
        edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
        cuts = [0, *np.searchsorted(confidence, edges, side="right").tolist(), len(order)]
    result = []
    for i, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:], strict=True)):
        if stop > start:
            low, high = (confidence[start], confidence[stop - 1]) if adaptive else (i / bins, (i + 1) / bins)
            part = slice(start, stop)
            result.append(
                Bin(
                    float(low),
                    float(high),
                    stop - start,
                    float(confidence[part].mean()),
                    float(right[part].mean()),
                )
            )
    return result


def _error(found: list[Bin]) -> float:
    total = sum(b.count for b in found)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in found) / total


def expected_calibration_error(
    labels: Any, probabilities: Any, *, bins: int = 15, adaptive: bool = False, from_logits: bool = False
) -> float:
    """Mean gap between score and accuracy over the bins, weighted by their size (Naeini et al. 2015)."""
    return _error(reliability(labels, probabilities, bins=bins, adaptive=adaptive, from_logits=from_logits))


def error_by_chance(probabilities: Any, *, bins: int = 15, from_logits: bool = False) -> float:
    """The expected calibration error that scores which mean exactly what they say have on so few texts.

    In a bin of n texts the number of right answers scatters around the sum of the scores with variance
    sum p (1 - p); the mean of its distance is sqrt(2 / pi) standard deviations (normal approximation). An
    error near this value cannot be told from none.
    """
    top = as_probabilities(probabilities, from_logits=from_logits).max(axis=1)
    variance = np.bincount(np.minimum((top * bins).astype(int), bins - 1), weights=top * (1 - top))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(top))


def maximum_calibration_error(
    labels: Any, probabilities: Any, *, bins: int = 15, adaptive: bool = False, from_logits: bool = False
) -> float:
    """The largest gap between score and accuracy in any bin that is not empty."""
    found = reliability(labels, probabilities, bins=bins, adaptive=adaptive, from_logits=from_logits)
    return max(abs(b.confidence - b.accuracy) for b in found)


def brier_score(labels: Any, probabilities: Any, *, from_logits: bool = False) -> float:
    """Mean squared distance between the probabilities and the truth, summed over the labels: 0 to 2."""
    scores = as_probabilities(probabilities, from_logits=from_logits)
    truth = as_labels(labels, scores.shape[1], rows=len(scores))
    return float(((scores - np.eye(scores.shape[1])[truth]) ** 2).sum(axis=1).mean())


def log_loss(
    labels: Any, probabilities: Any, *, from_logits: bool = False, multi_label: bool = False
) -> float:
    """Mean negative log-likelihood in nats, per decision: [N] labels, or [N, K] with `multi_label`."""
    scores = as_probabilities(probabilities, from_logits=from_logits, multi_label=multi_label)
    if multi_label:
        chosen = np.where(as_label_matrix(labels, scores.shape) == 1, scores, 1 - scores)
    else:
        truth = as_labels(labels, scores.shape[1], rows=len(scores))
        chosen = scores[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())


@dataclasses.dataclass(frozen=True)
class Calibration(Record):
    """How the logits of one model become probabilities that mean what they say.

    Attributes:
        temperature: divides the logits; above 1 the model was too sure of itself.
        function: "softmax" (one label per text) or "sigmoid" (independent labels).
        fitted_on: number of examples of the validation split.
        ece_before: expected calibration error there, with the temperature at 1.
        ece_after: the same with the fitted temperature.
        nll_before: negative log-likelihood in nats, per decision.
        nll_after: the same with the fitted temperature.
    """

    file_name = "calibration.json"

    temperature: float
    function: str = "softmax"
    fitted_on: int = 0
    ece_before: float | None = None
    ece_after: float | None = None
    nll_before: float | None = None
    nll_after: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not LEAST <= self.temperature <= MOST:
            raise ValueError(
                f"'temperature' must lie between {LEAST:g} and {MOST:g}, found {self.temperature!r}"
            )
        if self.function not in ("softmax", "sigmoid"):
            raise ValueError(f"function must be 'softmax' or 'sigmoid', got {self.function!r}")

    def apply(self, logits: Any) -> Any:
        """Calibrated probabilities of `logits` [..., K]: a tensor for a tensor, else a numpy array."""
        if hasattr(logits, "detach"):  # a torch tensor keeps its device
            scaled = logits.float() / self.temperature
            return scaled.sigmoid() if self.function == "sigmoid" else scaled.softmax(-1)
        array = np.asarray(logits, dtype=np.float64) / self.temperature
        if array.ndim == 0 or array.size == 0:
            raise ValueError(f"logits must be [..., labels], got shape {array.shape}")
        return sigmoid(array) if self.function == "sigmoid" else softmax(array)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return {"kind": "temperature", **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """The record from plain values.

        Raises:
            ValueError: for another kind of calibration, an unknown entry, or values that make no sense.
        """
        kind = values.get("kind", "temperature")
        if kind != "temperature":
            raise ValueError(f"calibration of kind {kind!r} is not known; 'temperature' is")
        return super().from_dict({key: value for key, value in values.items() if key != "kind"})


def _best_temperature(slope_at: Any) -> float:
    """Where the likelihood is best, by bisection over log T.

    The negative log-likelihood is convex in 1/T, so its slope has one sign change; bisection on that sign
    cannot be thrown off by a bad start or a flat region as Newton or L-BFGS can.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    if slope_at(1 / COLDEST) < 0 or slope_at(1 / HOTTEST) > 0:  # still falling at a bound
        return math.nan
    while high - low > 1e-9:
        middle = (low + high) / 2
        if slope_at(math.exp(-middle)) > 0:  # too cold: a smaller 1/T is better
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def fit_temperature(logits: Any, labels: Any, *, multi_label: bool = False, bins: int = 15) -> Calibration:
    """Fit one temperature on held-out logits by maximum likelihood (Guo et al. 2017, arXiv:1706.04599).

    The order of the labels does not change, and so neither do accuracy and F1.

    Args:
        logits: [N, K] of a split that the model was not trained on.
        labels: [N] indices, or [N, K] zeros and ones with `multi_label`.
        multi_label: the labels are independent: sigmoid in place of softmax.
        bins: bins of the calibration errors that the record states.

    Raises:
        ValueError: for empty, misshapen or non-finite input, or labels out of range.
    """
    scores = as_logits(logits)
    if (
        not multi_label
        and scores.size
        and scores.min() >= 0
        and np.allclose(scores.sum(axis=1), 1, atol=5e-3)
    ):
        notice(
            "these look like probabilities: a temperature is fitted on raw outputs. Pass the logits, or the "
            "logarithms of the probabilities"
        )
    slope = _sigmoid_slope(scores, labels) if multi_label else _softmax_slope(scores, labels)
    temperature = _best_temperature(slope)
    if math.isnan(temperature):
        notice(
            f"these {len(scores)} examples do not determine a temperature between {COLDEST} and {HOTTEST} "
            "(the model is right on all of them, or no better than chance): the scores stay as they are. "
            "Use a larger held-out split that the model was not trained on"
        )
        temperature = 1.0
    function = "sigmoid" if multi_label else "softmax"
    fitted = Calibration(temperature, function, fitted_on=len(scores))
    before, after = Calibration(1.0, function).apply(scores), fitted.apply(scores)
    return dataclasses.replace(
        fitted,
        ece_before=_decision_error(before, labels, multi_label, bins),
        ece_after=_decision_error(after, labels, multi_label, bins),
        nll_before=log_loss(labels, before, multi_label=multi_label),
        nll_after=log_loss(labels, after, multi_label=multi_label),
    )


def _softmax_slope(scores: Floats, labels: Any) -> Any:
    truth: Ints = as_labels(labels, scores.shape[1], rows=len(scores))
    centred = scores - scores.max(axis=1, keepdims=True)
    chosen = float(centred[np.arange(len(truth)), truth].mean())
    # d NLL / d(1/T) = E over the model's own distribution of the logit, less the true label's logit
    return lambda inverse: float((softmax(inverse * centred) * centred).sum(axis=1).mean()) - chosen


def _sigmoid_slope(scores: Floats, labels: Any) -> Any:
    truth = as_label_matrix(labels, scores.shape)
    chosen = float((truth * scores).mean())
    return lambda inverse: float((sigmoid(inverse * scores) * scores).mean()) - chosen


def _decision_error(probabilities: Floats, labels: Any, multi_label: bool, bins: int) -> float:
    if not multi_label:
        return expected_calibration_error(labels, probabilities, bins=bins)
    truth = as_label_matrix(labels, probabilities.shape).astype(np.float64)
    return _error(_bins(probabilities.ravel(), truth.ravel(), bins, adaptive=False))
