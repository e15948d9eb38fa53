"""What the report shows, worked out once for the page and the picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from formers.desk import charts
from formers.evaluation.arrays import Floats, Ints
from formers.evaluation.calibration import Bin, Calibration, reliability
from formers.evaluation.metrics import classification
from formers.evaluation.thresholds import DEFAULT, Thresholds, coverage_curve

SHOWN_BINS = 10
SHOWN_LABELS = 20  # a larger confusion matrix cannot be read
SHOWN_CONFUSIONS = 6
SHOWN_CASES = 8
LONGEST_TEXT = 400


@dataclasses.dataclass(frozen=True)
class Case:
    """One text, its label, and what the model said."""

    text: str
    label: str
    predicted: str
    score: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """A model's scores for labelled texts, and all that follows from them.

    Attributes:
        title: heading.
        names: labels in the order of the model's outputs.
        truth: true labels [N].
        scores_before: probabilities [N, K] as the model gives them.
        scores_after: the calibrated ones; the same without calibration.
        texts: the texts, to show the mistakes.
        examples: hard cases in place of those found here.
        calibration: the calibration applied; None without one.
        given: the thresholds that were fitted; None where a fixed default stands in for them.
        baselines: metrics of other models by name.
        history: the trainer's log.
        held_out: whether the model was trained on none of the texts; None when that is not known.
    """

    title: str
    names: list[str]
    truth: Ints
    scores_before: Floats
    scores_after: Floats
    texts: Sequence[str] | None
    examples: Sequence[Mapping[str, Any]] | None
    calibration: Calibration | None
    given: Thresholds | None
    baselines: Mapping[str, Mapping[str, Any]]
    history: Sequence[Mapping[str, Any]]
    held_out: bool | None

    @cached_property
    def before(self) -> dict[str, Any]:
        """Metrics of the scores as the model gives them."""
        return classification(self.truth, self.scores_before, self.names)

    @cached_property
    def after(self) -> dict[str, Any]:
        """Metrics of the calibrated scores."""
        return classification(self.truth, self.scores_after, self.names)

    @cached_property
    def bins(self) -> tuple[list[Bin], list[Bin]]:
        """Reliability of the scores as they are, and of the calibrated ones."""
        before, after = (
            reliability(self.truth, scores, bins=SHOWN_BINS)
            for scores in (self.scores_before, self.scores_after)
        )
        return before, after

    @property
    def reliability_charts(self) -> tuple[charts.Chart, charts.Chart]:
        """The two reliability diagrams."""
        before, after = self.bins
        return (
            charts.reliability_diagram(before, self.before["ece"], "before calibration"),
            charts.reliability_diagram(after, self.after["ece"], "after calibration"),
        )

    @property
    def calibrated(self) -> bool:
        """Whether the scores after calibration are others than those before."""
        return self.calibration is not None or self.bins[0] != self.bins[1]

    @property
    def fitted(self) -> bool:
        """Whether thresholds were given."""
        return self.given is not None

    @cached_property
    def thresholds(self) -> Thresholds:
        """A threshold for each label, in the model's order."""
        given = self.given if self.given is not None else Thresholds.fixed(self.names)
        return given.for_labels(self.names)

    @cached_property
    def operation(self) -> dict[str, Any]:
        """What the thresholds do on these texts."""
        return self.thresholds.measure(self.scores_after, self.truth)

    @cached_property
    def curve(self) -> list[dict[str, float]]:
        """Coverage and precision of a single threshold."""
        return coverage_curve(self.scores_after, self.truth)

    @property
    def operations(self) -> list[charts.Operation]:
        """Points of operation for the coverage chart."""
        result = []
        for wanted in (0.5, DEFAULT, 0.9):
            point = min(self.curve, key=lambda p: abs(p["threshold"] - wanted))
            if abs(point["threshold"] - wanted) < 0.01:
                name = f"one threshold of {wanted:g}"
                result.append(charts.Operation(point["coverage"], point["precision"], name, f"{wanted:g}"))
        coverage, precision = self.operation["coverage"], self.operation["precision"]
        if self.fitted and precision is not None:
            result.append(charts.Operation(coverage, precision, "thresholds by label", main=True))
        return result

    @property
    def texts_are(self) -> str:
        """The texts in words: "held-out texts", or "texts" where nobody said so."""
        return "held-out texts" if self.held_out else "texts"

    @property
    def losses(self) -> list[charts.Series]:
        """Training and validation loss over the epochs, as far as the log has them."""
        return self._logged(("training", "c", "loss"), ("validation", "a", "eval_loss"))

    @property
    def scores(self) -> list[charts.Series]:
        """Macro-F1 (or F1) and accuracy over the epochs, as far as the log has them."""
        f1 = ("macro-F1", "a", "eval_macro_f1")
        if not charts.series_of(self.history, "eval_macro_f1"):
            f1 = ("F1", "a", "eval_f1")
        return self._logged(f1, ("accuracy", "b", "eval_accuracy"))

    def _logged(self, *wanted: tuple[str, str, str]) -> list[charts.Series]:
        lines = [(name, style, charts.series_of(self.history, key)) for name, style, key in wanted]
        return [line for line in lines if line[2]]

    @cached_property
    def predicted(self) -> Ints:
        """The best label of each text [N]."""
        best: Ints = self.scores_after.argmax(axis=1)
        return best

    @property
    def held_back(self) -> int:
        """Wrong answers among those that go to a human."""
        _, accepted = self.thresholds.decide(self.scores_after)
        return int(((self.predicted != self.truth) & ~accepted).sum())

    @property
    def thousand(self) -> dict[str, int]:
        """What becomes of a thousand such texts."""
        total, alone = self.after["n"], self.operation["accepted"]
        wrong = round(alone * (1 - (self.operation["precision"] or 0)))
        counts = {"alone": alone, "alone_wrong": wrong, "human": total - alone, "human_wrong": self.held_back}
        return {name: round(1000 * count / total) for name, count in counts.items()}

    @property
    def best_baseline(self) -> float | None:
        """The best macro-F1 of the other models."""
        found = (float(m["macro_f1"]) for m in self.baselines.values() if "macro_f1" in m)
        return max(found, default=None)

    @cached_property
    def mistakes(self) -> list[Case]:
        """Wrong answers, the surest first; none when there are no texts to show."""
        if self.texts is None:
            return []
        if len(self.texts) != len(self.truth):
            raise ValueError(f"there are {len(self.texts)} texts for {len(self.truth)} labels")
        wrong = np.flatnonzero(self.predicted != self.truth)
        sure = self.scores_after[wrong, self.predicted[wrong]]
        return [
            Case(
                _short(self.texts[i]),
                self.names[self.truth[i]],
                self.names[self.predicted[i]],
                float(self.scores_after[i, self.predicted[i]]),
            )
            for i in wrong[np.argsort(-sure, kind="stable")].tolist()
        ]

    @property
    def confusions(self) -> list[dict[str, Any]]:
        """The most frequent mistakes, with cases."""
        wrong = self.predicted != self.truth
        pairs, counts = np.unique(
            np.stack([self.truth, self.predicted], axis=1)[wrong], axis=0, return_counts=True
        )
        result = []
        for index in np.argsort(-counts, kind="stable")[:SHOWN_CONFUSIONS].tolist():
            true, found = (self.names[label] for label in pairs[index].tolist())
            of = int((self.truth == pairs[index][0]).sum())
            cases = [case for case in self.mistakes if (case.label, case.predicted) == (true, found)][:2]
            result.append(
                {"label": true, "predicted": found, "count": int(counts[index]), "of": of, "cases": cases}
            )
        return result

    @property
    def hard(self) -> list[Case]:
        """The mistakes that the model was most sure of, or the examples that were given."""
        if self.examples is None:
            return self.mistakes[:SHOWN_CASES]
        try:
            return [
                Case(_short(str(e["text"])), str(e["label"]), str(e["predicted"]), float(e["score"]))
                for e in self.examples
            ]
        except KeyError as error:
            raise ValueError(
                f"an example needs 'text', 'label', 'predicted' and 'score'; {error} is missing"
            ) from error

    @cached_property
    def shown_matrix(self) -> tuple[list[str], list[list[int]]]:
        """Names and counts of the confusion matrix, of the most frequent labels when there are many."""
        matrix = np.asarray(self.after["confusion_matrix"])
        kept = np.arange(len(self.names))
        if len(kept) > SHOWN_LABELS:
            kept = np.sort(np.argsort(-matrix.sum(axis=1), kind="stable")[:SHOWN_LABELS])
        return [self.names[i] for i in kept], matrix[np.ix_(kept, kept)].tolist()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The per-class table, most frequent label first."""
        result = []
        for record in self.thresholds.labels:
            tables = [metrics.get("per_class", {}) for metrics in self.baselines.values()]
            others = [table[record.label]["f1"] for table in tables if record.label in table]
            result.append(
                {
                    "label": record.label,
                    **self.after["per_class"][record.label],
                    "threshold": record.threshold,
                    "reason": record.reason,
                    "operation": self.operation["per_label"][record.label],
                    "other_f1": others[0] if others else None,
                }
            )
        return sorted(result, key=lambda row: -int(row["support"]))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
