"""`formers export`: a model as ONNX graphs, which must answer as it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from formers.cli import choices, texts

_INT8_MOVES = 0.05  # how far a score may move in int8; the label must stay


def export(
    model: Annotated[str, typer.Argument(help="Folder of a model, or a Hub id.", show_default=False)],
    output: Annotated[
        Path, typer.Argument(help="Folder to write to.", show_default=False, callback=choices.expanded)
    ],
    to: Annotated[str, typer.Option("--to", help="The format: onnx.")] = "onnx",
    task: Annotated[
        str | None,
        typer.Option(
            help="text-classification, text-generation-with-past, ...; that of the model, when left out."
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Numbers in float16.")] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Texts that ranges of activations are taken from, for --int8; else each call's own.",
            callback=choices.expanded,
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            help="A golden file (formers golden record): nothing is written where answers differ.",
            callback=choices.expanded,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="How far a score of the golden file may move; 0.05 by default in int8."),
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Version of ONNX's operators.")] = None,
    as_json: choices.AsJson = False,
) -> None:
    """Write a model as ONNX, in the files that optimum writes; it is compared with the model first."""
    if to != "onnx":
        raise ValueError(f"--to is onnx, not {to!r} (formers quantize writes int8, gguf and others)")
    if tolerance is not None and check is None:
        raise ValueError("--tolerance is for the scores of a golden file: name one with --check")
    from formers.cli import show
    from formers.jobs import exporting

    judge = None if check is None else _judge(check, _INT8_MOVES if int8 and tolerance is None else tolerance)
    lines = None if calibration is None else texts.read(calibration, None)
    found = exporting.export(
        model, output, task=task, int8=int8, fp16=fp16, texts=lines, opset=opset, judge=judge
    )
    if as_json:
        values = {"written": str(found.folder), "bytes": found.bytes, "differences": dict(found.differences)}
        choices.as_json(values)
        return
    rows = [[name, f"{value:.1e}"] for name, value in found.differences.items()]
    show.table([("graph", "left"), ("largest difference", "right")], rows)
    show.say(f"written: {found.folder} ({found.bytes / 1e6:,.1f} MB)")


def _judge(golden: Path, tolerance: float | None) -> Callable[[Path], None]:
    """What compares the answers of a folder with a golden file."""
    from formers.desk import golden as goldens
    from formers.export.errors import ExportError
    from formers.jobs.predictor import Predictor

    goldens.read(golden)  # a broken file is reported before the work

    def judge(folder: Path) -> None:
        report = goldens.check(Predictor.load(str(folder)).predict, golden, tolerance=tolerance)
        if report.changes:
            rows = "\n".join(map(str, report.changes))
            raise ExportError(
                f"{len(report.changes)} of {report.total} answers are not those of {golden} (a score may "
                f"move by {report.tolerance:g}); nothing is written:\n{rows}"
            )

    return judge
