"""`formers predict`: what a saved model says of texts of the command line, a file or standard input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formers.cli import choices

if TYPE_CHECKING:
    from formers.jobs.predictor import Answer


def predict(
    model: choices.Model,
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="The texts. Without any: --file, or one a line on standard input."),
    ] = None,
    file: choices.File = None,
    text_column: choices.TextsColumn = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels of each text to show.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a head line.")] = False,
    max_length: choices.MaxLength = None,
    long_text: choices.LongText = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    task: choices.Task = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write JSON lines into this file.", callback=choices.expanded),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an --output that was not finished.")
    ] = False,
) -> None:
    """Answer texts with a saved model: with labels, calibrated where a calibration lies beside it.

    A model of another task (see `formers train --task`) answers as its pipeline does, in JSON lines.
    Answers come in the order of the texts; those to standard input come while it is still being read.
    """
    from formers.cli import texts as sources
    from formers.jobs.predictor import Predictor
    from formers.jobs.table import CLASSIFICATION, task_of

    task = task_of(model, task)
    if task != CLASSIFICATION or output is not None:
        if as_csv or top_k > 1:
            raise ValueError(f"--csv and --top-k are for labels on standard output, not for --task {task}")
        options = {"max_length": max_length, "long_text": long_text, "device": device, "dtype": dtype}
        _rows(task, model, (texts, file, text_column), output, resume, options)
        return
    if resume:
        raise ValueError("--resume goes on with a file of answers: name it with --output")
    if as_json and as_csv:
        raise ValueError("--json and --csv exclude each other")
    found = sources.blocks(texts, file, text_column)
    several = top_k > 1
    predictor = Predictor.load(model, max_length=max_length, long_text=long_text, device=device, dtype=dtype)
    answers = predictor.answer(found)
    top_k = min(top_k, len(predictor.labels))
    if as_json:
        _json(answers, top_k, ranked=several)
    elif as_csv:
        _csv(answers, top_k)
    else:
        _lines(answers, top_k)


def _rows(
    task: str,
    model: str,
    given: tuple[list[str] | None, Path | None, str | None],
    output: Path | None,
    resume: bool,
    options: dict[str, Any],
) -> None:
    """Answers of any task, as JSON lines; into `output` they may be gone on with."""
    import json
    import sys

    from formers.cli import texts as sources
    from formers.cli.show import say
    from formers.jobs import answers
    from formers.jobs.predictor import model_name

    _, file, column = given
    asking = answers.asking(task)
    if file is not None and sources.is_table(file) and not given[0]:
        blocks: Iterator[Iterable[dict[str, Any]]] = iter([answers.rows_of(task, file, column)])
    elif len(asking.columns) > 1:
        raise ValueError(
            f"--task {task} asks about {' and '.join(asking.columns)}: give a table with them, --file"
        )
    else:
        found = sources.blocks(*given)
        blocks = ([{asking.columns[0]: text} for text in block] for block in found)
    if output is None:
        if resume:
            raise ValueError("--resume goes on with a file of answers: name it with --output")
        for row in answers.answered(task, model_name(model), blocks, **options):
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    rows = [row for block in blocks for row in block]
    lines = answers.Lines(output, rows, resume)
    left = rows[lines.done :]
    shown = sys.stderr.isatty()
    made = answers.answered(task, model_name(model), [iter(left)], shown, **options) if left else ()
    count = lines.write(made)
    say(f"{count} answers: {output}" + (f" ({lines.done} were there)" if lines.done else ""))


def _lines(answers: Iterator[Answer], top_k: int) -> None:
    from formers.cli.show import console
    from formers.core.notices import printable
    from formers.jobs.predictor import shortened

    width = max(24, console().width - 48)
    for answer in answers:
        ranked = "  ".join(
            f"{printable(label, kept='')} {score:.3f}" for label, score in answer.ranked[:top_k]
        )
        person = "  (to a person)" if answer.accepted is False else ""
        typer.echo(f"{ranked + person:<46} {shortened(answer.text, width)}")


def _json(answers: Iterator[Answer], top_k: int, *, ranked: bool) -> None:
    import json

    for answer in answers:
        row = {"text": answer.text, "label": answer.label, "score": answer.score}
        if answer.accepted is not None:
            row["accepted"] = answer.accepted
        if ranked:
            row["top"] = [{"label": label, "score": score} for label, score in answer.ranked[:top_k]]
        typer.echo(json.dumps(row, ensure_ascii=False))


def _csv(answers: Iterator[Answer], top_k: int) -> None:
    import sys

    from formers.jobs.tables import write_csv

    head = ["text", "label", "score", "accepted"]
    for rank in range(2, top_k + 1):
        head += [f"label_{rank}", f"score_{rank}"]

    def rows() -> Iterator[list[str]]:
        yield head
        for answer in answers:
            accepted = "" if answer.accepted is None else str(answer.accepted).lower()
            row = [answer.text, answer.label, f"{answer.score:.6f}", accepted]
            for label, score in answer.ranked[1:top_k]:
                row += [label, f"{score:.6f}"]
            yield row

    write_csv(sys.stdout, rows())
