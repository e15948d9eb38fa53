"""From pairs of texts, or texts with several labels or a number, to a model, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import HeadPlan, told

_SHOWN = 20  # texts of a report


@dataclass(frozen=True)
class LabelPlan(HeadPlan):
    """What to train, from what, and how."""

    text_column: str = told("text", "Column that holds the texts.")
    label_column: str = told("label", "Column that holds the labels.")
    pair_column: str | None = told(None, "Column of a second text: text_pair, if the table has it.")


class Pairs(Job):
    """A text, or a pair of texts, has one label."""

    task = "pair-classification"
    auto = "AutoModelForSequenceClassification"
    plan_class = LabelPlan
    best = "macro_f1"
    kind: ClassVar[str] = "single_label_classification"
    measured: ClassVar[str] = "text-classification"

    def read(self) -> Rows:
        """Rows of "text", "text_pair" (where there is one) and "label"."""
        from formers.training.data.tables import no_text, placed_rows

        plan = self.plan
        path = Path(plan.data).expanduser()
        rows = placed_rows(path, (plan.text_column, plan.label_column, *filter(None, [plan.pair_column])))
        second = plan.pair_column or ("text_pair" if "text_pair" in rows[0][1] else None)
        names = {"text": plan.text_column, **({"text_pair": second} if second else {})}
        found = []
        for place, row in rows:
            texts = {name: row.get(column) for name, column in names.items()}
            for name, text in texts.items():
                if wrong := no_text(text) or ("" if str(text).strip() else "is empty"):
                    raise ValueError(f"{path}, {place}: the column {names[name]!r} {wrong}")
            found.append({**texts, "label": self.label(row.get(plan.label_column), f"{path}, {place}")})
        return found

    def label(self, value: Any, place: str) -> Any:
        """What a row is labelled with, from its column."""
        if value is None or isinstance(value, float | list | dict) or not str(value).strip():
            raise ValueError(f"{place}: {value!r} is no single label")
        return str(value).strip()

    def labels(self, rows: Rows) -> list[str]:
        """The labels that occur."""
        from formers.training.data import label_names

        names = label_names(row["label"] for row in rows)
        if len(names) < 2:
            raise ValueError(f"{self.plan.data}: a classifier needs at least two labels, found {names}")
        return names

    def load(self, tokenizer: Any, labels: list[str]) -> Any:
        """The model, which knows what its outputs are."""
        model = super().load(tokenizer, labels)
        model.config.problem_type = self.kind
        return model

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Ids and labels."""
        texts = [[row[name] for row in rows] for name in ("text", "text_pair") if name in rows[0]]
        encoded = tokenizer(*texts, truncation=True)
        numbers = model.config.label2id
        return [
            {name: column[at] for name, column in encoded.items()} | {"labels": self.target(row, numbers)}
            for at, row in enumerate(rows)
        ]

    def target(self, row: Row, numbers: dict[str, int]) -> Any:
        """The label as the loss takes it."""
        if row["label"] not in numbers:
            raise ValueError(
                f"{self.plan.data} has the label {row['label']!r}, the model knows {list(numbers)}"
            )
        return numbers[row["label"]]

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """The metrics of the task."""
        from formers.evaluation.metrics import compute_metrics_for

        return compute_metrics_for(dict(enumerate(labels)), self.measured)

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Metrics, by label where there are labels, and the texts that are furthest off."""
        import numpy as np

        from formers import pipeline
        from formers.hub.card import table

        pipe = pipeline("text-classification", model=name, **options)
        asked = [{key: row[key] for key in ("text", "text_pair") if key in row} for row in rows]
        logits = pipe.logits(asked if "text_pair" in rows[0] else [row["text"] for row in rows])
        numbers = pipe.model.config.label2id
        true = np.array([self.target(row, numbers) for row in rows])
        metrics, off, said = self.judged(true, logits, pipe.labels)
        parts = heading(name, Report(metrics, "").numbers, f"{len(rows):,} {self.noun}")
        if kinds := metrics.get("per_class"):
            head = ("precision", "recall", "f1", "support")
            cells = [(kind, *(round(row[key], 3) for key in head)) for kind, row in kinds.items()]
            parts += ["## Labels", table(("label", *head), cells)]
        order = [at for at in np.argsort(-off, kind="stable").tolist() if off[at] > 0][:_SHOWN]
        shown = [(" / ".join(asked[at].values()), _told(rows[at]["label"]), said[at]) for at in order]
        parts += ["## Furthest off", table(("text", "true", "found"), shown) if shown else "None is."]
        return Report(metrics, pages(parts))

    def judged(self, true: Any, logits: Any, names: list[str]) -> tuple[dict[str, Any], Any, list[str]]:
        """Metrics; how far off each answer is [N], 0 where it is right; and the answers."""
        import numpy as np

        from formers.core.arrays import softmax
        from formers.evaluation.metrics import classification

        scores = softmax(np.asarray(logits, dtype=np.float32))
        chosen = scores.argmax(1)
        off = np.where(chosen == true, 0.0, scores.max(1))
        said = [f"{names[one]} {row[one]:.2f}" for one, row in zip(chosen, scores, strict=True)]
        return classification(true, logits, names, from_logits=True), off, said


class Several(Pairs):
    """A text has any number of labels: a list, or names between commas or bars."""

    task = "multi-label-classification"
    kind = "multi_label_classification"
    measured = "multi-label"

    def label(self, value: Any, place: str) -> list[str]:
        """The labels of a row; none, where the column is empty."""
        if isinstance(value, str):
            value = value.replace("|", ",").split(",")
        value = [] if value is None else value
        if not isinstance(value, list) or any(isinstance(one, float | list | dict | None) for one in value):
            raise ValueError(f"{place}: {value!r} is no list of labels")
        return sorted({str(one).strip() for one in value if str(one).strip()})

    def labels(self, rows: Rows) -> list[str]:
        """The labels that occur."""
        return super().labels([{"label": one} for row in rows for one in row["label"]])

    def target(self, row: Row, numbers: dict[str, int]) -> list[float]:
        """1 for each label that it has."""
        known = {super(Several, self).target({"label": one}, numbers) for one in row["label"]}
        return [float(at in known) for at in range(len(numbers))]

    def judged(self, true: Any, logits: Any, names: list[str]) -> tuple[dict[str, Any], Any, list[str]]:
        """Metrics; how many labels are wrong; and those that were given."""
        import numpy as np

        from formers.evaluation.metrics import multi_label

        given = np.asarray(logits) >= 0
        said = [", ".join(name for name, one in zip(names, row, strict=True) if one) for row in given]
        off = (given != (true > 0)).sum(1)
        return multi_label(true.astype(int), logits, names, from_logits=True), off, said


class Numbers(Pairs):
    """A text, or a pair of texts, has a number."""

    task = "regression"
    kind = "regression"
    measured = "regression"
    best = "mse"

    def label(self, value: Any, place: str) -> float:
        """The number of a row."""
        import math

        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not math.isfinite(found):
            raise ValueError(f"{place}: {value!r} is no number")
        return found

    def labels(self, rows: Rows) -> list[str]:
        """The one output."""
        return [self.plan.label_column]

    def arguments(self) -> dict[str, Any]:
        """Less is better."""
        return {**super().arguments(), "greater_is_better": False}

    def target(self, row: Row, numbers: dict[str, int]) -> float:
        """The number."""
        return float(row["label"])

    def judged(self, true: Any, logits: Any, names: list[str]) -> tuple[dict[str, Any], Any, list[str]]:
        """Metrics; how far off each number is; and the numbers."""
        import numpy as np

        from formers.evaluation.metrics import regression

        found = np.asarray(logits)[:, 0]
        return dict(regression(true, found)), np.abs(found - true), [f"{one:.4g}" for one in found]


def _told(label: Any) -> str:
    return ", ".join(label) if isinstance(label, list) else str(label)
