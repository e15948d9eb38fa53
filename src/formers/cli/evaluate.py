"""`formers evaluate` and `formers report`: how good a saved model is on labelled texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formers.cli import choices
from formers.core.notices import printable

if TYPE_CHECKING:
    from formers.jobs.judging import Judged


def evaluate(
    model: choices.Model,
    data: choices.Data,
    task: choices.Task = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column that holds the texts.", show_default="text")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column that holds the labels.", show_default="label")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write the report and metrics.json into this folder.",
            file_okay=False,
            callback=choices.expanded,
        ),
    ] = None,
    as_json: choices.AsJson = False,
    max_length: choices.MaxLength = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
) -> None:
    """Judge a saved model on labelled examples, by what its task is judged by.

    Of a text classifier F1, calibration, and what its thresholds let through; see `formers train` for others.
    """
    from formers.desk.report import refuse_other_files
    from formers.jobs.judging import judge
    from formers.jobs.table import CLASSIFICATION, task_of

    task = task_of(model, task)
    if report is not None:  # before the work, not after it
        mine = () if task == CLASSIFICATION else (("metrics.json", "report.md"), "task")
        refuse_other_files(report, *mine)
    options: dict[str, Any] = {"max_length": max_length, "device": device, "dtype": dtype}
    if task != CLASSIFICATION:
        _other(task, model, data, text_column, label_column, report, as_json, options)
        return
    found = judge(model, data, text_column or "text", label_column or "label", **options)
    if as_json:
        choices.as_json(found.metrics)
    else:
        show(found.metrics)
    if report is not None:
        write(found, report)


def _other(
    task: str,
    model: str,
    data: Path,
    text_column: str | None,
    label_column: str | None,
    folder: Path | None,
    machine: bool,
    options: dict[str, Any],
) -> None:
    """Judge a model of another task than text classification."""
    from formers.cli.show import say
    from formers.core.atomic import write_text
    from formers.jobs.table import judge

    found = judge(task, model, data, text_column, label_column, **options)
    if machine:
        choices.as_json(found.metrics)
    else:
        typer.echo(printable(found.text))
    if folder is not None:
        for name, text in found.files(task).items():
            say(f"written: {write_text(folder / name, text)}")


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
    from formers.desk.report import refuse_other_files
    from formers.jobs.judging import judge

    refuse_other_files(output)
    found = judge(model, data, text_column, label_column, max_length=max_length, device=device, dtype=dtype)
    write(found, output, title=title)


def write(found: Judged, folder: Path, *, title: str | None = None) -> None:
    """Write the report and say where it is."""
    from formers.cli.show import say
    from formers.desk.report import write_report

    predictor = found.predictor
    paths = write_report(
        folder,
        title=title or Path(predictor.name).name,
        label_names=predictor.labels,
        labels=found.labels,
        logits=found.logits,
        texts=found.texts,
        calibration=predictor.pipe.calibration,
        thresholds=predictor.thresholds,
        model_facts={
            "model": predictor.name,
            "parameters": f"{predictor.pipe.model.num_parameters():,}",
        },
    )
    for path in (paths.html, paths.png, paths.metrics):
        if path is not None:
            say(f"written: {path}")


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
