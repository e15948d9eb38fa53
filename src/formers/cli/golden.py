"""`formers golden record` and `formers golden check`: fixed texts whose answers must not change unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices

commands = typer.Typer(
    no_args_is_help=True, help="Record a model's answers to fixed texts, and compare with them later."
)

GoldenFile = Annotated[
    Path,
    typer.Option(
        "--golden",
        "-g",
        help="The golden file (JSON lines).",
        show_default=False,
        dir_okay=False,
        callback=choices.expanded,
    ),
]


@commands.command()
def record(
    model: choices.Model,
    golden: GoldenFile,
    texts: Annotated[
        list[str] | None, typer.Argument(help="The fixed texts; or --file, or standard input.")
    ] = None,
    file: choices.File = None,
    text_column: choices.TextColumn = "text",
    limit: Annotated[
        int, typer.Option(min=1, help="Take at most so many texts, spread over the file.")
    ] = 100,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far a score may move before `check` says so.")
    ] = 1e-3,
    device: choices.Device = None,
) -> None:
    """Write the model's answers to fixed texts into a golden file."""
    from formers.cli import texts as sources
    from formers.cli.classifier import Classifier
    from formers.cli.show import say
    from formers.evaluation import golden as goldens

    found = list(sources.given(texts, file, text_column))
    step = len(found) / min(limit, len(found))
    fixed = [found[int(i * step)] for i in range(min(limit, len(found)))]
    classifier = Classifier.load(model, **({"device": device} if device else {}))
    path = goldens.record(
        classifier.predict, fixed, golden, tolerance, model=model, revision=classifier.pipe.revision
    )
    say(f"{len(fixed)} answers recorded in {path}")


@commands.command()
def check(
    model: choices.Model,
    golden: GoldenFile,
    tolerance: Annotated[float | None, typer.Option(min=0, help="In place of the one in the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
    device: choices.Device = None,
) -> None:
    """Answer the texts of a golden file again; exit with 1 when a label changed or a score moved too far."""
    from formers.cli.classifier import Classifier
    from formers.evaluation import golden as goldens

    goldens.read(golden)  # a broken file is reported before the model is loaded
    classifier = Classifier.load(model, **({"device": device} if device else {}))
    found = goldens.check(classifier.predict, golden, tolerance=tolerance)
    if as_json:
        import json

        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(str(found))
    raise typer.Exit(found.exit_status)
