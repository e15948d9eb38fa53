"""Judging a model: metrics, statistics, calibration, thresholds, and the baseline that it must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.core.lazy import lazy

if TYPE_CHECKING:
    from formers.evaluation.baselines import tfidf_baseline as tfidf_baseline
    from formers.evaluation.calibration import Calibration as Calibration
    from formers.evaluation.calibration import fit_temperature as fit_temperature
    from formers.evaluation.metrics import classification as classification
    from formers.evaluation.metrics import compute_metrics_for as compute_metrics_for
    from formers.evaluation.metrics import load_metric as load_metric
    from formers.evaluation.thresholds import Thresholds as Thresholds
    from formers.evaluation.thresholds import fit_thresholds as fit_thresholds

_NAMES = {
    "baselines": "tfidf_baseline",
    "calibration": "Calibration brier_score error_by_chance expected_calibration_error fit_temperature "
    "maximum_calibration_error reliability",
    "metrics": "classification compute_metrics_for load load_metric multi_label",
    "thresholds": "LabelThreshold Thresholds coverage_curve fit_thresholds",
}

__getattr__, __dir__ = lazy(__name__, {f".{module}": names.split() for module, names in _NAMES.items()})
