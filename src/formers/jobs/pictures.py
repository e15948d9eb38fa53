"""From a folder of labelled pictures to a model that labels them, and how often it is right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formers.jobs.job import Job, Report, Row, Rows, heading, pages
from formers.jobs.plan import HeadPlan

_KINDS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_WRONG = 20  # pictures that a report names


class Pictures(Job):
    """A folder with one folder of pictures for each label, or a table of "picture" (a path) and "label"."""

    task = "image-classification"
    auto = "AutoModelForImageClassification"
    plan_class = HeadPlan
    noun = "pictures"
    best = "accuracy"

    def __init__(self, plan: Any) -> None:
        super().__init__(plan)
        if plan.max_length != HeadPlan.max_length:
            raise ValueError("--max-length is of texts: a model's own files say how large its pictures are")

    def read(self) -> Rows:
        """Rows of "picture", a path, and "label"."""
        path = Path(self.plan.data).expanduser().resolve()
        if not path.is_dir():
            return self._of_table(path)
        found = [
            {"picture": str(one), "label": one.parent.name}
            for one in sorted(path.glob("*/*"))
            if one.suffix.lower() in _KINDS
        ]
        if len({row["label"] for row in found}) < 2:
            raise ValueError(
                f"{path} must hold a folder for each of at least two labels, with their pictures "
                f"({', '.join(sorted(_KINDS))}): {path}/cat/1.jpg, {path}/dog/1.jpg"
            )
        return found

    def _of_table(self, path: Path) -> Rows:
        from formers.training.data.tables import placed_rows

        if path.suffix.lower() not in _TABLES:
            raise ValueError(f"{path} is neither a folder of pictures nor a table ({', '.join(_TABLES)})")
        found: Rows = []
        for place, row in placed_rows(path):
            if not row.get("picture") or row.get("label") in (None, ""):
                raise ValueError(f"{path}, {place} needs a picture (its path) and a label")
            found.append(
                {"picture": os.path.join(path.parent, str(row["picture"])), "label": str(row["label"])}
            )
        return found

    def labels(self, rows: Rows) -> list[str]:
        """The labels that occur."""
        return sorted({row["label"] for row in rows})

    def processor(self) -> Any:
        """The image processor."""
        from formers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(self.plan.model)

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> Any:
        """The pictures, which are read when they are asked for."""
        return Labelled(rows, tokenizer, model.config.label2id)

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Stacks pictures of one size."""
        from formers import DefaultDataCollator

        return DefaultDataCollator()

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """How often the best label is right."""
        return lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """Accuracy, macro F1, each label's scores, and the pictures that it got wrong, the surest first."""
        from formers import pipeline
        from formers.evaluation.metrics import classification
        from formers.hub.card import table

        pipe = pipeline(self.task, model=name, **options)
        names = [pipe.model.config.id2label[place] for place in range(pipe.model.config.num_labels)]
        for label in sorted({row["label"] for row in rows} - set(names)):
            raise ValueError(f"{self.plan.data} has the label {label!r}, the model knows {names}")
        answers = pipe([row["picture"] for row in rows], top_k=len(names), function_to_apply="softmax")
        scores = [[{one["label"]: one["score"] for one in row}[label] for label in names] for row in answers]
        found = classification([row["label"] for row in rows], scores, names, top_k=())
        wrong = [
            (row, one[0]) for row, one in zip(rows, answers, strict=True) if one[0]["label"] != row["label"]
        ]
        wrong.sort(key=lambda pair: -pair[1]["score"])
        numbers = {key: found[key] for key in ("accuracy", "macro_f1")}
        each = [
            (label, *(f"{values[key]:.3f}" for key in ("precision", "recall", "f1")))
            for label, values in found["per_class"].items()
        ]
        mistakes = [
            (row["picture"], row["label"], f"{said['label']} {said['score']:.2f}")
            for row, said in wrong[:_WRONG]
        ]
        parts = heading(name, numbers, f"{len(rows):,} pictures")
        parts += ["## Labels", table(("label", "precision", "recall", "F1"), each)]
        if mistakes:
            parts += ["## Wrong, the surest first", table(("picture", "is", "said"), mistakes)]
        return Report({**numbers, "per_class": found["per_class"]}, pages(parts))


class Labelled:
    """Pictures as a model reads them, with the numbers of their labels.

    Args:
        rows: of "picture" and "label".
        processor: prepares a picture.
        numbers: label -> its number.
    """

    def __init__(self, rows: Rows, processor: Any, numbers: dict[str, int]) -> None:
        self.rows, self.processor, self.numbers = rows, processor, numbers

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Row:
        from formers import load_image

        row = self.rows[place]
        made = self.processor(load_image(row["picture"]), return_tensors="pt")
        return {"pixel_values": made["pixel_values"][0], "labels": self.numbers[row["label"]]}
