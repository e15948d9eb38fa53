"""What several commands have, declared once: options, and how they answer machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from formers.core.notices import printable


def expanded(path: Path | None) -> Path | None:
    """`path` with a leading ~ as the folder it stands for: shells leave that of --output=~/x as it is."""
    return None if path is None else path.expanduser()


def as_json(values: Any) -> None:
    """Print `values` as one JSON object, for machines."""
    import json

    typer.echo(json.dumps(values, indent=2, ensure_ascii=False))


def verdict(report: Any, machine: bool) -> NoReturn:
    """Print the report of a check, for people or for a machine, and end with its exit status."""
    if machine:
        as_json(report.to_dict())
    else:
        typer.echo(printable(str(report)))
    raise typer.Exit(report.exit_status)


Model = Annotated[
    str, typer.Option("--model", "-m", help="Folder of a saved model, or a Hub id.", show_default=False)
]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        "-d",
        help="Labelled table: CSV, TSV, JSON, JSON lines; gzip too.",
        show_default=False,
        callback=expanded,
    ),
]
Task = Annotated[str | None, typer.Option(help="Its task; as it was trained, when left out.")]
TextColumn = Annotated[str, typer.Option(help="Column that holds the texts.")]
TextsColumn = Annotated[str | None, typer.Option(help="Column of the table that holds the texts: text.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the labels.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; the best one when left out.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="A table, or one text a line; gzip too. Standard input when left out.",
        callback=expanded,
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder to write to.",
        show_default=False,
        file_okay=False,  # refused before anything is computed
        callback=expanded,
    ),
]
MaxLength = Annotated[
    int | None, typer.Option(min=3, help="Longest text in tokens; the model's own when left out.")
]
LongText = Annotated[
    str | None,
    typer.Option(help="Texts longer than that: truncate, window (read in overlapping parts) or error."),
]
