"""What a model must beat: TF-IDF with logistic regression."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from formers.core.extras import need
from formers.evaluation.arrays import Floats, as_labels, as_names
from formers.evaluation.metrics import classification


@dataclasses.dataclass(frozen=True)
class Baseline:
    """Predictions of a baseline and how good they are.

    Attributes:
        name: what it is, for reports.
        label_names: names of the columns of `probabilities`.
        predictions: best label [N], as an index.
        probabilities: [N, K].
        metrics: what `classification` says.
    """

    name: str
    label_names: list[str]
    predictions: Any
    probabilities: Floats
    metrics: dict[str, Any]


def tfidf_baseline(
    train_texts: Sequence[str],
    train_labels: Sequence[Any],
    test_texts: Sequence[str],
    test_labels: Sequence[Any],
    label_names: Sequence[str] | None = None,
) -> Baseline:
    """Logistic regression (balanced, C=10) on TF-IDF of words and pairs of words.

    The term frequency is sublinear, and a word or pair must occur in at least two texts.

    Args:
        train_texts: texts to fit on.
        train_labels: their labels, indices or names.
        test_texts: texts to judge on.
        test_labels: their labels.
        label_names: names in the order of the model's outputs; without them the sorted `train_labels`.

    Raises:
        ValueError: when texts and labels differ in number, or `test_labels` holds one that is not known.
    """
    for name, texts, labels in (("train", train_texts, train_labels), ("test", test_texts, test_labels)):
        if len(texts) != len(labels) or not len(texts):
            raise ValueError(f"{name}: there are {len(texts)} texts and {len(labels)} labels")
    names = (
        as_names(label_names, len(label_names)) if label_names is not None else _sorted_names(train_labels)
    )
    text = need("sklearn.feature_extraction.text", "train", "the baseline")
    linear = need("sklearn.linear_model", "train", "the baseline")
    by_name = names if isinstance(train_labels[0], str) or label_names is None else None
    train = as_labels(_as_text(train_labels, by_name), len(names), names=names)
    test = as_labels(_as_text(test_labels, by_name), len(names), names=names)
    words = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = linear.LogisticRegression(C=10, class_weight="balanced", max_iter=2000)
    model.fit(words.fit_transform(train_texts), train)
    found = model.predict_proba(words.transform(test_texts))
    probabilities = np.zeros((len(test_texts), len(names)))
    probabilities[:, model.classes_] = found  # a label without training texts keeps probability 0
    return Baseline(
        name="TF-IDF + logistic regression",
        label_names=names,
        predictions=probabilities.argmax(axis=1),
        probabilities=probabilities,
        metrics=classification(test, probabilities, names),
    )


def _sorted_names(labels: Sequence[Any]) -> list[str]:
    return [str(label) for label in sorted(set(labels))]


def _as_text(labels: Sequence[Any], names: list[str] | None) -> list[Any]:
    """Labels as names where names are what identifies them; as they are where they are indices."""
    return [str(label) for label in labels] if names is not None else list(labels)
