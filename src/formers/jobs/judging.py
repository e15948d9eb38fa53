"""How good a saved model is on labelled texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from formers.core.notices import did_you_mean
from formers.jobs.predictor import Predictor


@dataclass(frozen=True)
class Judged:
    """A model's outputs for labelled texts.

    Attributes:
        predictor: the model.
        texts: the texts [N].
        labels: their true labels.
        logits: the model's outputs [N, K].
    """

    predictor: Predictor
    texts: list[str]
    labels: list[str]
    logits: Any

    @classmethod
    def of(cls, predictor: Predictor, rows: Iterable[Mapping[str, Any]], **options: Any) -> Judged:
        """Let `predictor` answer rows of "text" and "label"."""
        rows = list(rows)
        texts, labels = [row["text"] for row in rows], [str(row["label"]) for row in rows]
        return cls(predictor, texts, labels, predictor.logits(texts, **options))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What `evaluation.metrics.classification` says, and what the model's thresholds do."""
        from formers.evaluation.metrics import classification

        probabilities = self.predictor.scores(self.logits)
        found = classification(self.labels, probabilities, self.predictor.labels)
        if (limits := self.predictor.thresholds) is not None:
            found["thresholds"] = limits.measure(probabilities, self.labels, self.predictor.labels)
        return found


def judge(
    model: str,
    data: Path,
    text_column: str = "text",
    label_column: str = "label",
    *,
    max_length: int | None = None,
    **options: Any,
) -> Judged:
    """Let `model` answer the texts of the table `data`; `options` are keywords of `pipeline`.

    Raises:
        ValueError: for a model that does not give each text one label, and when the table holds a label that
            it does not know.
    """
    from formers.training.data import load_table

    rows = load_table(data, text_column=text_column, label_column=label_column)
    predictor = Predictor.load(model, **options)
    predictor.refuse_other_than_one_label("formers evaluate")
    for label in sorted({str(row["label"]) for row in rows} - set(predictor.labels)):
        near = did_you_mean(label, predictor.labels)
        raise ValueError(f"{data} has the label {label!r}, the model knows {predictor.labels}{near}")
    cut = {} if max_length is None else {"max_length": max_length, "truncation": True}
    return Judged.of(predictor, rows, **cut)
