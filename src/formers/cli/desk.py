"""`formers golden` and `formers drift`: whether a model's answers and its texts are still what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices

golden = typer.Typer(
    no_args_is_help=True, help="Record a model's answers to fixed texts, and compare with them later."
)
drift = typer.Typer(no_args_is_help=True, help="Measure what is normal, and compare today's texts with it.")

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


@golden.command("record")
def record(
    model: choices.Model,
    golden: GoldenFile,
    texts: Annotated[
        list[str] | None, typer.Argument(help="The fixed texts; or --file, or standard input.")
    ] = None,
    file: choices.File = None,
    text_column: choices.TextsColumn = None,
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
    from formers.cli.show import say
    from formers.desk import golden as goldens
    from formers.jobs.predictor import Predictor

    goldens.refuse_other_file(golden)  # before the work, not after it
    found = list(sources.given(texts, file, text_column))
    step = len(found) / min(limit, len(found))
    fixed = [found[int(i * step)] for i in range(min(limit, len(found)))]
    predictor = Predictor.load(model, device=device)
    path = goldens.record(
        predictor.predict, fixed, golden, tolerance, model=model, revision=predictor.pipe.revision
    )
    say(f"{len(fixed)} answers recorded in {path}")


@golden.command("check")
def compare(
    model: choices.Model,
    golden: GoldenFile,
    tolerance: Annotated[float | None, typer.Option(min=0, help="In place of the one in the file.")] = None,
    as_json: choices.AsJson = False,
    device: choices.Device = None,
) -> None:
    """Answer the texts of a golden file again; exit with 1 when a label changed or a score moved too far."""
    from formers.desk import golden as goldens
    from formers.jobs.predictor import Predictor

    goldens.read(golden)  # a broken file is reported before the model is loaded
    predictor = Predictor.load(model, device=device)
    choices.verdict(goldens.check(predictor.predict, golden, tolerance=tolerance), as_json)


@drift.command()
def baseline(
    model: choices.Model,
    file: choices.File = None,
    text_column: choices.TextsColumn = None,
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
    from formers.cli.show import say
    from formers.desk import drift
    from formers.jobs.predictor import Predictor, model_name

    model = model_name(model)
    if output is None and not Path(model).is_dir():
        raise ValueError(f"{model} is no folder to write the baseline into: name one with --output")
    drift.DriftBaseline.place(output or model)  # before the work, not after it
    found = list(sources.given(None, file, text_column))
    predictor = Predictor.load(model, device=device)
    made = drift.baseline(
        found,
        results=predictor.predict(found),
        label_names=predictor.labels,
        tokenizer=predictor.pipe.tokenizer,
    )
    say(f"baseline of {len(found)} texts written to {made.save(output or model)}")


@drift.command()
def check(
    model: choices.Model,
    file: choices.File = None,
    text_column: choices.TextsColumn = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="The baseline's file or folder; the model's own when left out.",
            callback=choices.expanded,
        ),
    ] = None,
    as_json: choices.AsJson = False,
    device: choices.Device = None,
) -> None:
    """Compare texts and the model's answers with the baseline; exit with 1 for drift, 2 for too few texts."""
    from formers.cli import texts as sources
    from formers.desk import drift
    from formers.jobs.predictor import Predictor, model_name

    model = model_name(model)
    base = drift.DriftBaseline.load(model if against is None else against)
    if base is None:
        raise ValueError(
            f"there is no {drift.DriftBaseline.file_name} beside {model}: formers drift baseline writes one"
        )
    found = list(sources.given(None, file, text_column))
    predictor = Predictor.load(model, device=device)
    report = drift.check(base, found, predictor.predict(found), tokenizer=predictor.pipe.tokenizer)
    choices.verdict(report, as_json)
