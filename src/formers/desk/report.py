"""One page about a classifier that a person would want to read: HTML, PNG, and the numbers as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from formers.core.atomic import refuse_unwritable, write_text
from formers.core.environment import deciding_versions
from formers.core.extras import installed
from formers.core.jsonfile import read_json_object
from formers.desk import charts
from formers.desk.findings import Findings
from formers.evaluation.arrays import LabelNames, as_array, as_labels, as_names, as_probabilities
from formers.evaluation.calibration import Calibration
from formers.evaluation.thresholds import Thresholds


@dataclasses.dataclass(frozen=True)
class ReportPaths:
    """Where the report lies; `png` is None when matplotlib is not installed."""

    html: Path
    metrics: Path
    png: Path | None


def refuse_other_files(
    folder: str | Path,
    names: Sequence[str] = ("metrics.json", "report.html", "report.png"),
    mark: str = "metrics_before_calibration",
) -> None:
    """Refuse a folder that no report can be written into, or that holds files of its names by others.

    Args:
        folder: where the report will be.
        names: its files.
        mark: a key of its `metrics.json`.

    Raises:
        OSError: when nothing can be written there.
        ValueError: naming the file.
    """
    target = Path(folder)
    refuse_unwritable(target)
    try:
        ours = mark in read_json_object(target / "metrics.json")
    except OSError:
        ours = False
    for name in names:
        if not ours and (target / name).exists():
            raise ValueError(
                f"{target / name} is of no report, and would be replaced: move it away, or name another "
                "folder"
            )


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
    refuse_other_files(folder)
    raw = logits if logits is not None else probabilities
    before = as_probabilities(raw, from_logits=logits is not None)
    if calibrated is not None:
        after = as_probabilities(calibrated)
    elif calibration is not None:
        if logits is None:
            raise ValueError("a calibration works on logits: give logits= in place of probabilities=")
        after = np.asarray(calibration.apply(as_array(logits, "logits")), dtype=np.float64)
    else:
        after = before
    if after.shape != before.shape:
        raise ValueError(f"calibrated has shape {after.shape}, the scores have {before.shape}")
    names = as_names(label_names, before.shape[1])
    truth = as_labels(labels, len(names), rows=len(before), names=names)
    found = Findings(
        title=title,
        names=names,
        truth=truth,
        scores_before=before,
        scores_after=after,
        texts=texts,
        examples=examples,
        calibration=calibration,
        given=thresholds,
        baselines={name: dict(values) for name, values in (baseline_results or {}).items()},
        history=[dict(entry) for entry in training_history or ()],
        held_out=held_out,
    )
    facts = dict(model_facts or {})
    packages = dict(deciding_versions() if versions is None else versions)
    page, numbers = render(found, facts, packages), _as_json(found, facts, packages)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    html, metrics = write_text(target / "report.html", page), write_text(target / "metrics.json", numbers)
    png = None
    if plots is True or (plots is None and installed("matplotlib")):
        from formers.desk.picture import write_picture

        png = write_picture(found, target / "report.png")
    return ReportPaths(html, metrics, png)


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
    return template.render(
        found=found,
        rows=found.rows,
        pictures={name: Markup(chart.svg()) for name, chart in _charts(found).items()},
        facts=facts,
        packages=packages,
    )


def _charts(found: Findings) -> dict[str, charts.Chart]:
    before, after = found.reliability_charts
    names, matrix = found.shown_matrix
    made = {
        "before": before,
        "after": after,
        "confusion": charts.confusion(matrix, names),
        "coverage": charts.coverage_precision(found.curve, found.operations),
    }
    if found.losses:
        made["losses"] = charts.learning_curve(found.losses, "loss")
    if found.scores:
        made["scores"] = charts.learning_curve(found.scores, "score on the validation split")
    for key, name in (("macro_f1", "macro-F1"), ("accuracy", "accuracy")):
        others = [(other, float(m[key]), False) for other, m in found.baselines.items() if key in m]
        if others:
            made[f"compare_{key}"] = charts.comparison(
                [("this model", found.after[key], True), *others], name
            )
    return made
