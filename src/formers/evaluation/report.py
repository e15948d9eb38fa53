"""One page about a classifier that a person would want to read: HTML, PNG, and the numbers as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from formers.core.atomic import write_text
from formers.core.environment import deciding_versions
from formers.core.extras import installed
from formers.evaluation import charts
from formers.evaluation.arrays import Floats, Ints, LabelNames, as_labels, as_names, as_probabilities
from formers.evaluation.calibration import Bin, Calibration, reliability
from formers.evaluation.metrics import classification
from formers.evaluation.thresholds import DEFAULT, Thresholds, coverage_curve

SHOWN_BINS = 10
SHOWN_LABELS = 20  # a larger confusion matrix cannot be read
LONGEST_TEXT = 400


@dataclasses.dataclass(frozen=True)
class ReportPaths:
    """Where the report lies; `png` is None when matplotlib is not installed."""

    html: Path
    metrics: Path
    png: Path | None


@dataclasses.dataclass(frozen=True)
class Case:
    """One text, its label, and what the model said."""

    text: str
    label: str
    predicted: str
    score: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that the report shows, worked out once for the page and the picture.

    Attributes:
        title: heading.
        names: labels in the order of the model's outputs.
        before: metrics of the scores as the model gives them.
        after: metrics of the calibrated scores; the same as `before` without calibration.
        bins_before: reliability of the scores as they are.
        bins_after: reliability of the calibrated scores.
        calibration: the calibration applied; None without one.
        thresholds: the thresholds; a fixed default where none were given.
        fitted: whether thresholds were given.
        operation: what the thresholds do on these texts.
        curve: coverage and precision of a single threshold.
        baselines: metrics of other models by name.
        history: the trainer's log.
        confusions: most frequent mistakes, with cases.
        hard: mistakes that the model was most sure of.
        held_back: wrong answers among those that go to a human.
        held_out: whether the model was trained on none of the texts; None when that is not known.
    """

    title: str
    names: list[str]
    before: dict[str, Any]
    after: dict[str, Any]
    bins_before: list[Bin]
    bins_after: list[Bin]
    calibration: Calibration | None
    thresholds: Thresholds
    fitted: bool
    operation: dict[str, Any]
    curve: list[dict[str, float]]
    baselines: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    confusions: list[dict[str, Any]]
    hard: list[Case]
    held_back: int
    held_out: bool | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the scores after calibration are others than those before."""
        return self.calibration is not None or self.bins_before != self.bins_after

    @property
    def texts_are(self) -> str:
        """The texts in words: "held-out texts", or "texts" where nobody said so."""
        return "held-out texts" if self.held_out else "texts"

    @property
    def marks(self) -> list[charts.Mark]:
        """Points of operation for the coverage chart."""
        result = []
        for wanted in (0.5, DEFAULT, 0.9):
            point = min(self.curve, key=lambda p: abs(p["threshold"] - wanted))
            if abs(point["threshold"] - wanted) < 0.01:
                name = f"one threshold of {wanted:g}"
                result.append(charts.Mark(point["coverage"], point["precision"], name, f"{wanted:g}"))
        if self.fitted and self.operation["precision"] is not None:
            name = "thresholds by label"
            result.append(
                charts.Mark(self.operation["coverage"], self.operation["precision"], name, main=True)
            )
        return result

    def losses(self) -> list[tuple[str, str, list[charts.Point]]]:
        """Training and validation loss over the epochs, as far as the log has them."""
        found = [("training", "c", "loss"), ("validation", "a", "eval_loss")]
        lines = [(name, kind, charts.series_of(self.history, key)) for name, kind, key in found]
        return [line for line in lines if line[2]]

    def scores(self) -> list[tuple[str, str, list[charts.Point]]]:
        """Macro-F1 (or F1) and accuracy over the epochs, as far as the log has them."""
        keys = [("macro-F1", "a", "eval_macro_f1"), ("accuracy", "b", "eval_accuracy")]
        if not charts.series_of(self.history, "eval_macro_f1"):
            keys[0] = ("F1", "a", "eval_f1")
        lines = [(name, kind, charts.series_of(self.history, key)) for name, kind, key in keys]
        return [line for line in lines if line[2]]


def _findings(
    title: str,
    names: list[str],
    truth: Ints,
    before: Floats,
    after: Floats,
    texts: Sequence[str] | None,
    examples: Sequence[Mapping[str, Any]] | None,
    calibration: Calibration | None,
    thresholds: Thresholds | None,
    baselines: Mapping[str, Mapping[str, Any]] | None,
    history: Sequence[Mapping[str, Any]] | None,
    held_out: bool | None,
) -> Findings:
    limits = (thresholds if thresholds is not None else Thresholds.fixed(names)).for_labels(names)
    predicted, accepted = limits.decide(after)
    cases = _cases(texts, truth, predicted, after, names)
    return Findings(
        title=title,
        names=names,
        before=classification(truth, before, names),
        after=classification(truth, after, names),
        bins_before=reliability(truth, before, bins=SHOWN_BINS),
        bins_after=reliability(truth, after, bins=SHOWN_BINS),
        calibration=calibration,
        thresholds=limits,
        fitted=thresholds is not None,
        operation=limits.measure(after, truth),
        curve=coverage_curve(after, truth),
        baselines={name: dict(values) for name, values in (baselines or {}).items()},
        history=[dict(entry) for entry in history or ()],
        confusions=_confusions(truth, predicted, names, cases),
        hard=_hard(cases, examples),
        held_back=int(((predicted != truth) & ~accepted).sum()),
        held_out=held_out,
    )


def _cases(
    texts: Sequence[str] | None, truth: Ints, predicted: Ints, scores: Floats, names: list[str]
) -> list[Case]:
    """Wrong answers, the surest first; none when there are no texts to show."""
    if texts is None:
        return []
    if len(texts) != len(truth):
        raise ValueError(f"there are {len(texts)} texts for {len(truth)} labels")
    wrong = np.flatnonzero(predicted != truth)
    wrong = wrong[np.argsort(-scores[wrong, predicted[wrong]], kind="stable")]
    return [
        Case(_short(texts[i]), names[truth[i]], names[predicted[i]], float(scores[i, predicted[i]]))
        for i in wrong.tolist()
    ]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _confusions(
    truth: Ints, predicted: Ints, names: list[str], cases: list[Case], most: int = 6
) -> list[dict[str, Any]]:
    pairs, counts = np.unique(
        np.stack([truth, predicted], axis=1)[truth != predicted], axis=0, return_counts=True
    )
    result = []
    for index in np.argsort(-counts, kind="stable")[:most].tolist():
        true, found = (names[label] for label in pairs[index].tolist())
        of = int((truth == pairs[index][0]).sum())
        shown = [case for case in cases if (case.label, case.predicted) == (true, found)][:2]
        result.append(
            {"label": true, "predicted": found, "count": int(counts[index]), "of": of, "cases": shown}
        )
    return result


def _hard(cases: list[Case], examples: Sequence[Mapping[str, Any]] | None, most: int = 8) -> list[Case]:
    if examples is None:
        return cases[:most]
    try:
        return [
            Case(_short(str(e["text"])), str(e["label"]), str(e["predicted"]), float(e["score"]))
            for e in examples
        ]
    except KeyError as error:
        raise ValueError(
            f"an example needs 'text', 'label', 'predicted' and 'score'; {error} is missing"
        ) from error


def write_report(
    folder: str | Path,
    *,
    title: str,
    label_names: LabelNames,
    labels: Any,
    logits: Any = None,
    probabilities: Any = None,
    calibrated: Any = None,
    texts: Sequence[str] | None = None,
    calibration: Calibration | None = None,
    thresholds: Thresholds | None = None,
    baseline_results: Mapping[str, Mapping[str, Any]] | None = None,
    training_history: Sequence[Mapping[str, Any]] | None = None,
    examples: Sequence[Mapping[str, Any]] | None = None,
    model_facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    plots: bool | None = None,
    held_out: bool | None = None,
) -> ReportPaths:
    """Write `report.html` (one file, nothing loaded from outside), `report.png` and `metrics.json`.

    Args:
        folder: where to; made when it does not exist.
        title: the heading.
        label_names: names of the labels, in the order of the model's outputs.
        labels: true labels of the texts [N], indices or names.
        logits: [N, K] raw outputs; or give `probabilities`.
        probabilities: [N, K] as the model gives them.
        calibrated: [N, K] after calibration; worked out from `logits` where `calibration` is given.
        texts: the texts, to show the mistakes.
        calibration: the calibration fitted on a validation split.
        thresholds: the thresholds fitted on a validation split; labels that they leave out get their
            default. Without them one of 0.75 for all labels.
        baseline_results: metrics of other models by name; each with `macro_f1` and `accuracy`.
        training_history: the trainer's `log_history`.
        examples: hard cases in place of those found here: text, label, predicted, score.
        model_facts: what to say of the model (name, revision, parameters, ...).
        versions: releases of packages; by default those installed.
        plots: write the PNG; by default when matplotlib is installed.
        held_out: True says on the page that the model was trained on none of the texts, False that it was
            trained on some; None, that the report cannot know.

    Raises:
        ValueError: for neither or both of logits and probabilities; shapes, labels or names that do not fit.
        MissingExtra: with plots=True when matplotlib is not installed.
    """
    if (logits is None) == (probabilities is None):
        raise ValueError("give either logits= or probabilities= of the texts")
    raw = logits if logits is not None else probabilities
    before = as_probabilities(raw, from_logits=logits is not None)
    if calibrated is not None:
        after = as_probabilities(calibrated)
    elif calibration is not None:
        if logits is None:
            raise ValueError("a calibration works on logits: give logits= in place of probabilities=")
        after = np.asarray(calibration.apply(_plain(logits)), dtype=np.float64)
    else:
        after = before
    if after.shape != before.shape:
        raise ValueError(f"calibrated has shape {after.shape}, the scores have {before.shape}")
    names = as_names(label_names, before.shape[1])
    truth = as_labels(labels, len(names), rows=len(before), names=names)
    found = _findings(
        title,
        names,
        truth,
        before,
        after,
        texts,
        examples,
        calibration,
        thresholds,
        baseline_results,
        training_history,
        held_out,
    )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    facts = dict(model_facts or {})
    packages = dict(deciding_versions() if versions is None else versions)
    html = write_text(target / "report.html", render(found, facts, packages))
    metrics = write_text(target / "metrics.json", _as_json(found, facts, packages))
    png = None
    if plots is True or (plots is None and installed("matplotlib")):
        from formers.evaluation.figure import write_figure

        png = write_figure(found, target / "report.png")
    return ReportPaths(html, metrics, png)


def _plain(logits: Any) -> Any:
    return logits.detach().float().cpu().numpy() if hasattr(logits, "detach") else logits


def _as_json(found: Findings, facts: dict[str, Any], packages: dict[str, str]) -> str:
    values = {
        "title": found.title,
        "labels": found.names,
        "held_out": found.held_out,
        "metrics": found.after,
        "metrics_before_calibration": found.before,
        "calibration": found.calibration.to_dict() if found.calibration else None,
        "thresholds": found.thresholds.to_dict(),
        "with_thresholds": found.operation,
        "baselines": found.baselines,
        "model": facts,
        "versions": packages,
    }
    return json.dumps(values, indent=2, ensure_ascii=False, default=_jsonable) + "\n"


def _jsonable(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def render(found: Findings, facts: dict[str, Any], packages: dict[str, str]) -> str:
    """The page as text; whatever comes from data is escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["percent"] = lambda value, digits=1: f"{100 * value:.{digits}f} %"
    template = page.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    pictures = {name: Markup(picture) for name, picture in _pictures(found).items()}
    return template.render(
        found=found,
        rows=_rows(found),
        tiles=_tiles(found),
        thousand=_thousand(found),
        pictures=pictures,
        facts=facts,
        packages=packages,
        baselines=_against(found),
    )


def _pictures(found: Findings) -> dict[str, str]:
    shown, matrix = shown_matrix(found)
    optional = ("losses", "scores", "compare_macro_f1", "compare_accuracy")
    pictures = {
        **dict.fromkeys(optional, ""),
        "before": charts.reliability_diagram(found.bins_before, found.before["ece"], "before calibration"),
        "after": charts.reliability_diagram(found.bins_after, found.after["ece"], "after calibration"),
        "confusion": charts.confusion(matrix, shown),
        "coverage": charts.coverage_precision(found.curve, found.marks),
    }
    if found.losses():
        pictures["losses"] = charts.learning_curve(found.losses(), "loss")
    if found.scores():
        pictures["scores"] = charts.learning_curve(found.scores(), "score on the validation split")
    for key, name in (("macro_f1", "macro-F1"), ("accuracy", "accuracy")):
        others = [(other, float(m[key]), False) for other, m in found.baselines.items() if key in m]
        if others:
            pictures[f"compare_{key}"] = charts.comparison(
                [("this model", found.after[key], True), *others], name
            )
    return pictures


def shown_matrix(found: Findings) -> tuple[list[str], list[list[int]]]:
    """Names and counts of the confusion matrix, of the most frequent labels when there are many."""
    matrix = np.asarray(found.after["confusion_matrix"])
    kept = np.arange(len(found.names))
    if len(kept) > SHOWN_LABELS:
        kept = np.sort(np.argsort(-matrix.sum(axis=1), kind="stable")[:SHOWN_LABELS])
    return [found.names[i] for i in kept], matrix[np.ix_(kept, kept)].tolist()


def _rows(found: Findings) -> list[dict[str, Any]]:
    """The per-class table, most frequent label first."""
    result = []
    for record in found.thresholds.labels:
        values = found.after["per_class"][record.label]
        others = [
            m["per_class"][record.label]["f1"]
            for m in found.baselines.values()
            if record.label in m.get("per_class", {})
        ]
        result.append(
            {
                "label": record.label,
                **values,
                "threshold": record.threshold,
                "reason": record.reason,
                "operation": found.operation["per_label"][record.label],
                "other_f1": others[0] if others else None,
            }
        )
    return sorted(result, key=lambda row: -int(row["support"]))


def _against(found: Findings) -> list[dict[str, Any]]:
    return [
        {"name": name, "macro_f1": m.get("macro_f1"), "accuracy": m.get("accuracy")}
        for name, m in found.baselines.items()
    ]


def _tiles(found: Findings) -> list[dict[str, str]]:
    """The few numbers that a reader looks for first."""
    f1 = found.after["macro_f1"]
    best = max((float(m["macro_f1"]) for m in found.baselines.values() if "macro_f1" in m), default=None)
    operation = found.operation
    precision = operation["precision"]
    return [
        {
            "name": "Macro-F1",
            "value": f"{f1:.3f}",
            "note": f"{f1 - best:+.3f} against the baseline" if best is not None else "mean over the labels",
        },
        {
            "name": "Accuracy",
            "value": f"{100 * found.after['accuracy']:.1f} %",
            "note": f"of {found.after['n']:,} {found.texts_are}",
        },
        {
            "name": "Calibration error",
            "value": f"{found.after['ece']:.3f}",
            "note": f"{found.before['ece']:.3f} before calibration" if found.calibrated else "not calibrated",
        },
        {
            "name": "Answered alone",
            "value": f"{100 * operation['coverage']:.1f} %",
            "note": "none above the thresholds"
            if precision is None
            else f"{100 * precision:.1f} % of them right",
        },
    ]


def _thousand(found: Findings) -> dict[str, int]:
    """What becomes of a thousand such texts."""
    total, operation = found.after["n"], found.operation
    wrong = round(operation["accepted"] * (1 - (operation["precision"] or 0)))
    human = total - operation["accepted"]
    return {
        "alone": round(1000 * operation["accepted"] / total),
        "alone_wrong": round(1000 * wrong / total),
        "human": round(1000 * human / total),
        "human_wrong": round(1000 * found.held_back / total),
    }
