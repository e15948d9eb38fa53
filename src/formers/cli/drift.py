"""`formers drift baseline` and `drift check`: whether today's texts are those the model was judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices

commands = typer.Typer(
    no_args_is_help=True, help="Measure what is normal, and compare today's texts with it."
)


@commands.command()
def baseline(
    model: choices.Model,
    file: choices.File = None,
    text_column: choices.TextColumn = "text",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to; the model's own when left out.",
            file_okay=False,
            callback=choices.expanded,
        ),
    ] = None,
    device: choices.Device = None,
) -> None:
    """Write the baseline of a model: texts it was not trained on, and its answers to them."""
    from formers.cli import texts as sources
    from formers.cli.classifier import Classifier, model_name
    from formers.cli.show import say
    from formers.evaluation import drift

    model = model_name(model)
    if output is None and not Path(model).is_dir():
        raise ValueError(f"{model} is no folder to write the baseline into: name one with --output")
    found = list(sources.given(None, file, text_column))
    classifier = Classifier.load(model, **({"device": device} if device else {}))
    made = drift.baseline(
        found,
        results=classifier.predict(found),
        label_names=classifier.labels,
        tokenizer=classifier.pipe.tokenizer,
    )
    say(f"baseline of {len(found)} texts written to {made.save(output or model)}")


@commands.command()
def check(
    model: choices.Model,
    file: choices.File = None,
    text_column: choices.TextColumn = "text",
    against: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="The baseline's file or folder; the model's own when left out.",
            callback=choices.expanded,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
    device: choices.Device = None,
) -> None:
    """Compare texts and the model's answers with the baseline; exit with 1 for drift, 2 for too few texts."""
    from formers.cli import texts as sources
    from formers.cli.classifier import Classifier, model_name
    from formers.evaluation import drift

    model = model_name(model)
    base = drift.DriftBaseline.load(model if against is None else against)
    if base is None:
        raise ValueError(f"there is no {drift.FILE_NAME} beside {model}: formers drift baseline writes one")
    found = list(sources.given(None, file, text_column))
    classifier = Classifier.load(model, **({"device": device} if device else {}))
    report = drift.check(base, found, classifier.predict(found), tokenizer=classifier.pipe.tokenizer)
    if as_json:
        import json

        typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(str(report))
    raise typer.Exit(report.exit_status)
