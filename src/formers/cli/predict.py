"""`formers predict`: labels for texts from the command line, a file or standard input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

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
) -> None:
    """Label texts with a saved model, calibrated where a calibration lies beside it.

    Answers come in the order of the texts; those to standard input come while it is still being read.
    """
    from formers.cli import texts as sources
    from formers.jobs.predictor import Predictor

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
