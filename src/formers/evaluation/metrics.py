"""Metrics of classifiers, by name or all at once, on scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from formers.core.extras import need
from formers.core.notices import did_you_mean, refuse_unknown
from formers.evaluation.arrays import (
    Floats,
    Ints,
    LabelNames,
    as_array,
    as_label_matrix,
    as_labels,
    as_names,
    as_probabilities,
)
from formers.evaluation.calibration import (
    brier_score,
    error_by_chance,
    expected_calibration_error,
    log_loss,
    maximum_calibration_error,
)
from formers.evaluation.maps import mean_iou

IGNORED = -100  # the label of positions that do not count


def _sklearn() -> Any:
    return need("sklearn.metrics", "train", "metrics")


def classification(
    labels: Any,
    scores: Any,
    label_names: LabelNames = None,
    *,
    from_logits: bool = False,
    top_k: Sequence[int] = (3,),
    bins: int = 15,
) -> dict[str, Any]:
    """Everything about a classifier of one label per text.

    Averages over labels are over those that occur in the truth or in the predictions, as scikit-learn's are.

    Args:
        labels: true labels [N], indices or names.
        scores: probabilities [N, K], or logits with `from_logits`.
        label_names: K names (a list, or `config.id2label`).
        from_logits: `scores` are raw model outputs.
        top_k: also the share of texts whose label is among the k best, as `top_{k}_accuracy`.
        bins: bins of the calibration errors.

    Returns:
        Plain numbers: accuracy, macro_/micro_/weighted_ precision, recall and f1, matthews_correlation,
        roc_auc (one against the rest, mean over the labels that have both; None when none has), log_loss
        (nats), ece, mce, adaptive_ece, ece_by_chance, brier, top_{k}_accuracy, n; `per_class` by name, and
        `confusion_matrix` (row: truth).

    Raises:
        ValueError: for values that are not probabilities, and for wrong shapes, labels or names.
    """
    metrics = _sklearn()
    probabilities = as_probabilities(scores, from_logits=from_logits)
    count = probabilities.shape[1]
    names = as_names(label_names, count)
    truth = as_labels(labels, count, rows=len(probabilities), names=label_names)
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    result: dict[str, Any] = {"n": len(truth), "accuracy": float((truth == predicted).mean())}
    result.update(_averages(truth, predicted))
    result["roc_auc"] = _roc_auc(np.eye(count, dtype=np.int64)[truth], probabilities)
    result["log_loss"] = log_loss(truth, probabilities)
    result["ece"] = expected_calibration_error(truth, probabilities, bins=bins)
    result["adaptive_ece"] = expected_calibration_error(truth, probabilities, bins=bins, adaptive=True)
    result["ece_by_chance"] = error_by_chance(probabilities, bins=bins)
    result["mce"] = maximum_calibration_error(truth, probabilities, bins=bins)
    result["brier"] = brier_score(truth, probabilities)
    for k in top_k:
        if 0 < k < count:
            result[f"top_{k}_accuracy"] = _top_k(truth, probabilities, k)
    result["per_class"] = _per_class(truth, predicted, names)
    matrix = metrics.confusion_matrix(truth, predicted, labels=list(range(count)))
    result["matthews_correlation"] = _matthews(matrix)
    result["confusion_matrix"] = matrix.tolist()
    return result


def _matthews(matrix: NDArray[Any]) -> float:
    """Matthews correlation of several labels (Gorodkin 2004); 0 where it is not defined."""
    true, found = matrix.sum(axis=1).astype(float), matrix.sum(axis=0).astype(float)
    total = float(matrix.sum())
    spread = (total**2 - float(true @ true)) * (total**2 - float(found @ found))
    return (float(np.trace(matrix)) * total - float(true @ found)) / spread**0.5 if spread > 0 else 0.0


def _averages(truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    result = {}
    for average in ("macro", "micro", "weighted"):
        precision, recall, f1, _ = _sklearn().precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=0
        )
        result[f"{average}_precision"] = float(precision)
        result[f"{average}_recall"] = float(recall)
        result[f"{average}_f1"] = float(f1)
    return result


def _per_class(truth: NDArray[Any], predicted: NDArray[Any], names: list[str]) -> dict[str, dict[str, Any]]:
    columns = _sklearn().precision_recall_fscore_support(
        truth, predicted, labels=list(range(len(names))), zero_division=0
    )
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(names, *columns, strict=True)
    }


def _roc_auc(truth: Ints, probabilities: Floats) -> float | None:
    """Mean over the labels that have both examples and counter-examples; None when none has."""
    usable = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    if not usable:
        return None
    roc_auc_score = _sklearn().roc_auc_score
    return float(np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in usable]))


def _top_k(truth: Ints, probabilities: Floats, k: int) -> float:
    best = np.argpartition(-probabilities, k - 1, axis=1)[:, :k]
    return float((best == truth[:, None]).any(axis=1).mean())


def multi_label(
    labels: Any,
    scores: Any,
    label_names: LabelNames = None,
    *,
    from_logits: bool = False,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Everything about a classifier of independent labels.

    Args:
        labels: zeros and ones [N, K].
        scores: probabilities [N, K], or logits with `from_logits`.
        label_names: K names.
        from_logits: `scores` are raw model outputs.
        threshold: a label is given when its probability is at least this.

    Raises:
        ValueError: for values that are not probabilities, and for wrong shapes, labels or names.
    """
    probabilities = as_probabilities(scores, from_logits=from_logits, multi_label=True)
    truth = as_label_matrix(labels, probabilities.shape)
    predicted = (probabilities >= threshold).astype(np.int64)
    return {
        "n": len(truth),
        "exact_match": float((truth == predicted).all(axis=1).mean()),
        "hamming_loss": float((truth != predicted).mean()),
        **_averages(truth, predicted),
        "roc_auc": _roc_auc(truth, probabilities),
        "log_loss": log_loss(truth, probabilities, multi_label=True),
        "brier": float(((probabilities - truth) ** 2).mean()),
        "per_class": _per_class(truth, predicted, as_names(label_names, truth.shape[1])),
    }


def regression(labels: Any, predictions: Any) -> dict[str, float | None]:
    """Mean squared and absolute error, R², and Pearson's correlation (None when one side is constant)."""
    found, truth = as_array(predictions, "predictions"), as_array(labels, "labels")
    found, truth = found.astype(np.float64).reshape(-1), truth.astype(np.float64).reshape(-1)
    if found.shape != truth.shape:
        raise ValueError(f"there are {truth.size} labels for {found.size} predictions")
    if not (np.isfinite(found).all() and np.isfinite(truth).all()):
        raise ValueError("predictions or labels hold NaN or infinity")
    spread = float(((truth - truth.mean()) ** 2).sum())
    constant = spread == 0 or float(found.std()) == 0
    return {
        "mse": float(((found - truth) ** 2).mean()),
        "mae": float(np.abs(found - truth).mean()),
        "r2": None if spread == 0 else 1 - float(((found - truth) ** 2).sum()) / spread,
        "pearson": None if constant else float(np.corrcoef(found, truth)[0, 1]),
    }


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Entities (type, first, past the last) of one sequence of IOB2 tags.

    An `I-` that continues nothing of its type begins an entity, as conlleval has it.
    """
    found: set[tuple[str, int, int]] = set()
    kind, start = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if prefix not in ("B", "I", "O") or (prefix == "O") == bool(name):
            raise ValueError(f"not an IOB2 tag: {tag!r}; expected 'O', 'B-<type>' or 'I-<type>'")
        if kind and (prefix != "I" or name != kind):
            found.add((kind, start, position))
            kind = ""
        if prefix != "O" and not kind:
            kind, start = name, position
    return found


def token_classification(labels: Any, scores: Any, label_names: LabelNames) -> dict[str, Any]:
    """Entity-level precision, recall and F1 (micro) and token accuracy.

    Args:
        labels: [N, T] tag indices; -100 where a position does not count.
        scores: [N, T, K] logits or probabilities.
        label_names: K IOB2 tags.
    """
    array = as_array(scores, "scores")
    truth = as_array(labels, "labels").astype(np.int64)
    if array.ndim != 3 or truth.shape != array.shape[:2]:
        raise ValueError(f"scores must be [N, T, K] and labels [N, T], got {array.shape} and {truth.shape}")
    names = as_names(label_names, array.shape[2])
    counted = truth != IGNORED
    if not counted.any():
        raise ValueError(f"every label is {IGNORED}: there is nothing to measure")
    as_labels(truth[counted], len(names))
    best = array.argmax(axis=-1)
    predictions = [[names[i] for i in row[keep]] for row, keep in zip(best, counted, strict=True)]
    references = [[names[i] for i in row[keep]] for row, keep in zip(truth, counted, strict=True)]
    result = entity_scores(references, predictions)
    result["accuracy"] = float((best == truth)[counted].mean())
    return result


def entity_scores(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Entity-level scores of tag sequences: precision, recall, f1, and `per_type`."""
    if len(references) != len(predictions):
        raise ValueError(f"there are {len(references)} references for {len(predictions)} predictions")
    counts: dict[str, list[int]] = {}  # type -> right, predicted, true
    for index, (true, found) in enumerate(zip(references, predictions, strict=True)):
        if len(true) != len(found):
            raise ValueError(
                f"sequence {index} has {len(true)} reference tags and {len(found)} predicted tags"
            )
        wanted, given = entities(true), entities(found)
        for column, group in enumerate((wanted & given, given, wanted)):
            for kind, _, _ in group:
                counts.setdefault(kind, [0, 0, 0])[column] += 1
    per_type = {
        kind: {**_f1(*row), "support": row[2]}
        for kind, row in sorted(counts.items(), key=lambda item: item[0])
    }
    totals = [sum(row[column] for row in counts.values()) for column in range(3)]
    return {**_f1(*totals), "per_type": per_type}


def _f1(right: int, predicted: int, true: int) -> dict[str, float]:
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / (predicted + true) if predicted + true else 0.0,
    }


_TASKS = ("text-classification", "multi-label", "token-classification", "regression")


def compute_metrics_for(
    label_names: LabelNames = None, task: str = "text-classification"
) -> Callable[[Any], dict[str, float]]:
    """A `compute_metrics` for Trainer: takes `(logits, labels)`, returns numbers by name.

    Args:
        label_names: names of the labels (needed for token classification, whose names are IOB2 tags).
        task: "text-classification", "multi-label", "token-classification" or "regression".

    Returns:
        For classification accuracy, macro_f1, micro_f1, weighted_f1, f1 (the macro one), log_loss, ece, and
        others; per-class values are left to `classification`.
    """
    if task not in _TASKS:
        raise ValueError(f"unknown task {task!r}{did_you_mean(task, _TASKS)}; known are {', '.join(_TASKS)}")
    if task == "token-classification" and label_names is None:
        raise ValueError("token-classification needs label_names, the IOB2 tag of every label")

    def compute(prediction: Any) -> dict[str, float]:
        scores, labels = _unpack(prediction)
        if task == "regression":
            found: dict[str, Any] = dict(regression(labels, scores))
        elif task == "token-classification":
            found = token_classification(labels, scores, label_names)
        elif task == "multi-label":
            found = multi_label(labels, scores, label_names, from_logits=True)
            found["f1"] = found["macro_f1"]
        else:
            found = classification(labels, scores, label_names, from_logits=True)
            found["f1"] = found["macro_f1"]
        found.pop("n", None)
        return {name: value for name, value in found.items() if isinstance(value, float)}

    return compute


def _unpack(prediction: Any) -> tuple[Any, Any]:
    """Scores and labels of an EvalPrediction, or of a pair; hidden states beside the scores are left out."""
    if hasattr(prediction, "predictions"):
        scores, labels = prediction.predictions, prediction.label_ids
    else:
        scores, labels = tuple(prediction)[:2]
    if labels is None:
        raise ValueError("there are no labels to compare with: the evaluation data needs a 'labels' column")
    return (scores[0] if isinstance(scores, tuple) else scores), labels


_Compute = Callable[..., dict[str, Any]]


def _named(function_name: str, key: str, keywords: tuple[str, ...]) -> _Compute:
    def compute(predictions: Any, references: Any, **options: Any) -> dict[str, Any]:
        refuse_unknown(options, keywords, f"{key}.compute")
        truth = as_array(references, "references").reshape(-1)
        found = as_array(predictions, "predictions")
        if found.ndim == 2 and found.shape[1] > 1:
            raise ValueError(
                f"{key} compares labels with labels, but the predictions have shape {found.shape}: these "
                "look like logits or probabilities. Take the best label first: predictions.argmax(-1)"
            )
        if len(found.reshape(-1)) != len(truth):
            raise ValueError(f"there are {found.size} predictions for {len(truth)} references")
        value = getattr(_sklearn(), function_name)(truth, found.reshape(-1), **options)
        return {key: value.tolist() if isinstance(value, np.ndarray) else float(value)}

    return compute


def _roc_auc_named(prediction_scores: Any, references: Any, **options: Any) -> dict[str, Any]:
    refuse_unknown(
        options, ("average", "multi_class", "labels", "sample_weight", "max_fpr"), "roc_auc.compute"
    )
    truth, scores = as_array(references, "references"), as_array(prediction_scores, "prediction_scores")
    return {"roc_auc": float(_sklearn().roc_auc_score(truth, scores, **options))}


def _correlations(predictions: Any, references: Any) -> dict[str, Any]:
    from_ranks = regression(_ranks(references), _ranks(predictions))
    return {"pearson": regression(references, predictions)["pearson"], "spearmanr": from_ranks["pearson"]}


def _ranks(values: Any) -> Floats:
    """Ranks from 0, ties sharing their mean."""
    array = as_array(values, "values").reshape(-1)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    result: Floats = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return result


_AVERAGED = ("average", "labels", "pos_label", "sample_weight", "zero_division")
_COMPUTE: dict[str, _Compute] = {
    "accuracy": _named("accuracy_score", "accuracy", ("normalize", "sample_weight")),
    "f1": _named("f1_score", "f1", _AVERAGED),
    "precision": _named("precision_score", "precision", _AVERAGED),
    "recall": _named("recall_score", "recall", _AVERAGED),
    "matthews_correlation": _named("matthews_corrcoef", "matthews_correlation", ("sample_weight",)),
    "mse": _named("mean_squared_error", "mse", ("sample_weight",)),
    "mae": _named("mean_absolute_error", "mae", ("sample_weight",)),
    "roc_auc": _roc_auc_named,
    "mean_iou": mean_iou,
    "seqeval": lambda predictions, references: entity_scores(references, predictions),
}
_GLUE = {
    **dict.fromkeys(
        ("sst2", "mnli", "mnli_matched", "mnli_mismatched", "qnli", "rte", "wnli"), ("accuracy",)
    ),
    **dict.fromkeys(("mrpc", "qqp"), ("accuracy", "f1")),
    "cola": ("matthews_correlation",),
}


class Metric:
    """A metric by name, with the calls of `datasets.load_metric` and `evaluate.load`."""

    def __init__(self, name: str, parts: Sequence[_Compute]) -> None:
        self.name = name
        self._parts = tuple(parts)
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def add(self, prediction: Any, reference: Any) -> None:
        """Keep one pair for `compute()`."""
        self._predictions.append(_plain(prediction))
        self._references.append(_plain(reference))

    def add_batch(self, predictions: Any, references: Any) -> None:
        """Keep a batch of pairs for `compute()`."""
        predictions, references = _plain(predictions), _plain(references)
        if len(predictions) != len(references):
            raise ValueError(f"{len(predictions)} predictions were given with {len(references)} references")
        self._predictions.extend(predictions)
        self._references.extend(references)

    def compute(self, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any]:
        """The metric of these pairs, or of those added before (which are then forgotten).

        Raises:
            ValueError: when there is nothing to compare, or the two sides differ in number.
        """
        predictions = options.pop("prediction_scores", predictions)
        if (predictions is None) != (references is None):
            raise ValueError(f"{self.name}.compute needs both predictions= and references=")
        if predictions is None:
            predictions, references = self._predictions, self._references
            self._predictions, self._references = [], []
        if len(predictions) == 0:
            raise ValueError(f"{self.name}.compute has nothing to compare: give predictions= and references=")
        result: dict[str, Any] = {}
        for part in self._parts:
            result.update(part(predictions, references, **options))
        return result

    _compute = compute  # what the published recipe for segments calls


def _plain(values: Any) -> Any:
    return values.tolist() if hasattr(values, "tolist") else values


def load(name: str, config_name: str | None = None) -> Metric:
    """The metric `name`; `load("glue", "mrpc")` gives those of a GLUE task.

    Raises:
        ValueError: for a name that is not known.
    """
    if name == "glue":
        if config_name == "stsb":
            return Metric("glue/stsb", [_correlations])
        if config_name not in _GLUE:
            raise ValueError(f"glue needs the task as second argument, one of {', '.join([*_GLUE, 'stsb'])}")
        return Metric(f"glue/{config_name}", [_COMPUTE[part] for part in _GLUE[config_name]])
    if name not in _COMPUTE:
        raise ValueError(
            f"unknown metric {name!r}{did_you_mean(name, _COMPUTE)}; known: {', '.join(_COMPUTE)}, glue"
        )
    return Metric(name, [_COMPUTE[name]])


load_metric = load
