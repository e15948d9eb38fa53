"""Judging a model: metrics, calibration, thresholds, golden files, drift, and a report of it all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_TABLE: dict[str, tuple[str, ...]] = {
    "baselines": ("tfidf_baseline",),
    "calibration": (
        "Calibration",
        "brier_score",
        "error_by_chance",
        "expected_calibration_error",
        "fit_temperature",
        "maximum_calibration_error",
        "reliability",
    ),
    "drift": ("DriftBaseline", "DriftMonitor", "DriftReport"),
    "golden": ("GoldenReport",),
    "metrics": ("classification", "compute_metrics_for", "load", "load_metric", "multi_label"),
    "report": ("write_report",),
    "thresholds": ("LabelThreshold", "Thresholds", "coverage_curve", "fit_thresholds"),
}
_MODULE_OF = {name: module for module, names in _TABLE.items() for name in names}

if TYPE_CHECKING:
    from formers.evaluation.baselines import tfidf_baseline as tfidf_baseline
    from formers.evaluation.calibration import Calibration as Calibration
    from formers.evaluation.calibration import fit_temperature as fit_temperature
    from formers.evaluation.metrics import classification as classification
    from formers.evaluation.metrics import compute_metrics_for as compute_metrics_for
    from formers.evaluation.metrics import load_metric as load_metric
    from formers.evaluation.report import write_report as write_report
    from formers.evaluation.thresholds import Thresholds as Thresholds
    from formers.evaluation.thresholds import fit_thresholds as fit_thresholds


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'formers.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"formers.evaluation.{module}"), name)
