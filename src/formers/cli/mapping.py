"""`formers map`: an answer for every row of many files, by this process or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from formers.cli import choices

if TYPE_CHECKING:
    from formers.jobs.mapping import Report


def map_(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Tables (parquet, CSV, JSON lines), pictures or sounds; folders and patterns too.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(help="Folder for the answers.", show_default=False, callback=choices.expanded),
    ],
    task: Annotated[str, typer.Option(help="The pipeline's task.", show_default=False)],
    model: choices.Model,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column that is asked about; name=column for one of several. May be repeated."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Column that goes along into the answers. May be repeated.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--set", help="Keyword of the pipeline: top_k=3, or any JSON. May be repeated."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="auto, or the address of a Ray cluster; local for one on this machine."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; 1, or as many as the cluster has processors.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="At most so many rows in a pass of the model.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Rows that are answered and written together: lost with a worker.")
    ] = 1000,
    revision: Annotated[str | None, typer.Option(help="Of a model of the Hub.")] = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    as_json: choices.AsJson = False,
) -> None:
    """Answer every row of files exactly once, into JSON lines. The same command goes on after a stop.

    A row that cannot be answered has an "error" in the place of its "answer".
    """
    from formers.cli.show import say
    from formers.jobs.mapping import map_files

    with _bar() as told:
        try:
            report = map_files(
                task, model, inputs, output, columns=column or (), keep=keep or (),
                parameters=_parameters(parameter or []), revision=revision, address=address,
                workers=workers, batch_size=batch_size, device=device, dtype=dtype, rows=rows, told=told,
            )  # fmt: skip
        except KeyboardInterrupt:
            say(f"what is answered lies in {output}; the same command goes on with the rest")
            raise
    if as_json:
        names = ("total", "skipped", "blocks", "rows", "errors", "bytes", "seconds")
        choices.as_json({"folder": str(report.folder)} | {name: getattr(report, name) for name in names})
        return
    there = f"; {report.skipped} of {report.total} blocks were there" if report.skipped else ""
    say(f"{report.rows} rows answered, {report.errors} of them with an error: {report.folder}{there}")


def _parameters(given: list[str]) -> dict[str, Any]:
    """name=value of the command line; a value that is no JSON is a text.

    Raises:
        ValueError: for one without a name, or named twice.
    """
    from formers.core.jsonfile import BadJson, parse_json

    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set is name=value, such as --set top_k=3, not {one!r}")
        if name in found:
            raise ValueError(f"--set {name} is given twice")
        try:
            found[name] = parse_json(text, name)
        except BadJson:
            found[name] = text
    return found


@contextmanager
def _bar() -> Iterator[Callable[[Report], None]]:
    """A bar of blocks on a screen; gives what moves it."""
    import sys

    if not sys.stderr.isatty():
        yield lambda report: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from formers.cli.show import console

    columns = (TextColumn("blocks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as bar:
        line = bar.add_task("blocks", total=None)
        yield lambda report: bar.update(line, total=report.total, completed=report.skipped + report.blocks)
