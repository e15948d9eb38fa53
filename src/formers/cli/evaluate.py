"""`formers evaluate` and `formers report`: how good a saved model is on labelled texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formers.cli import choices

if TYPE_CHECKING:
    from formers.cli.classifier import Classifier


def evaluate(
    model: choices.Model,
    data: choices.Data,
    text_column: choices.TextColumn = "text",
    label_column: choices.LabelColumn = "label",
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write report.html, report.png and metrics.json into this folder.",
            file_okay=False,
            callback=choices.expanded,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
    max_length: choices.MaxLength = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Judge a saved model on a labelled table: F1, calibration, and what its thresholds let through."""
    found = judge(model, data, text_column, label_column, max_length=max_length, device=device, dtype=dtype)
    if as_json:
        import json

        typer.echo(json.dumps(found.metrics(), indent=2, ensure_ascii=False))
    else:
        show(found.metrics())
    if report is not None:
        found.write(report)


def report(
    model: choices.Model,
    data: choices.Data,
    output: choices.Folder,
    text_column: choices.TextColumn = "text",
    label_column: choices.LabelColumn = "label",
    title: Annotated[str | None, typer.Option(help="Heading of the report.")] = None,
    max_length: choices.MaxLength = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Write the report of a saved model on a labelled table: HTML, PNG and the figures as JSON."""
    found = judge(model, data, text_column, label_column, max_length=max_length, device=device, dtype=dtype)
    found.write(output, title=title)


@dataclass(frozen=True)
class Judged:
    """A model's outputs for the texts of a labelled table."""

    classifier: Classifier
    texts: list[str]
    labels: list[str]
    logits: Any

    @classmethod
    def of(cls, classifier: Classifier, rows: Iterable[Mapping[str, Any]], **options: Any) -> Judged:
        """Let `classifier` answer rows of "text" and "label"."""
        rows = list(rows)
        texts = [row["text"] for row in rows]
        return cls(
            classifier, texts, [str(row["label"]) for row in rows], classifier.logits(texts, **options)
        )

    def metrics(self) -> dict[str, Any]:
        """What `evaluation.metrics.classification` says, and what the model's thresholds do."""
        from formers.evaluation.metrics import classification

        probabilities = self.classifier.scores(self.logits)
        found = classification(self.labels, probabilities, self.classifier.labels)
        if self.classifier.thresholds is not None:
            limits = self.classifier.thresholds
            found["thresholds"] = limits.measure(probabilities, self.labels, self.classifier.labels)
        return found

    def write(self, folder: Path, *, title: str | None = None) -> None:
        """Write the report and say where it is."""
        from formers.cli.show import say
        from formers.evaluation.report import write_report

        model = self.classifier.pipe.model
        paths = write_report(
            folder,
            title=title or Path(self.classifier.name).name,
            label_names=self.classifier.labels,
            labels=self.labels,
            logits=self.logits,
            texts=self.texts,
            calibration=self.classifier.pipe.calibration,
            thresholds=self.classifier.thresholds,
            model_facts={"model": self.classifier.name, "parameters": f"{model.num_parameters():,}"},
        )
        for path in (paths.html, paths.png, paths.metrics):
            if path is not None:
                say(f"written: {path}")


def judge(model: str, data: Path, text_column: str, label_column: str, **options: Any) -> Judged:
    """Let `model` answer the texts of `data`.

    Raises:
        ValueError: for a model that does not give each text one label, and when the table holds a label that
            it does not know.
    """
    from formers.cli.classifier import Classifier
    from formers.core.notices import did_you_mean
    from formers.training.data import load_table

    rows = load_table(data, text_column=text_column, label_column=label_column)
    max_length = options.pop("max_length", None)
    classifier = Classifier.load(
        model, **{name: value for name, value in options.items() if value is not None}
    )
    classifier.refuse_other_than_one_label("formers evaluate")
    for label in sorted({str(row["label"]) for row in rows} - set(classifier.labels)):
        near = did_you_mean(label, classifier.labels)
        raise ValueError(f"{data} has the label {label!r}, the model knows {classifier.labels}{near}")
    cut = {} if max_length is None else {"max_length": max_length, "truncation": True}
    return Judged.of(classifier, rows, **cut)


def show(metrics: Mapping[str, Any]) -> None:
    """Print one row for each label, and the figures of the whole."""
    from formers.cli.show import console, table

    share = metrics.get("thresholds", {}).get("per_label", {})
    columns = [
        ("label", "left"),
        ("precision", "right"),
        ("recall", "right"),
        ("F1", "right"),
        ("texts", "right"),
    ]
    if share:
        columns += [("answered alone", "right"), ("right then", "right")]
    rows = []
    for name, row in metrics["per_class"].items():
        cells = [name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), f"{row['support']:,}"]
        if share:
            precision = share[name]["precision"]
            cells += [f"{share[name]['coverage']:.0%}", "" if precision is None else f"{precision:.1%}"]
        rows.append(cells)
    table(columns, rows)
    whole = {key: metrics[key] for key in ("accuracy", "macro_f1", "weighted_f1", "log_loss", "ece")}
    console().print()
    console().print("   ".join(f"{name} {value:.4f}" for name, value in whole.items()), markup=False)
    if share:
        alone = metrics["thresholds"]
        right = "none" if alone["precision"] is None else f"{alone['precision']:.1%} of them right"
        console().print(f"answered without a person: {alone['coverage']:.1%}, {right}", markup=False)
