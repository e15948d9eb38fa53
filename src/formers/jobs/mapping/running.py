"""One run: what is to be answered, by whom, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from formers.core.jsonfile import plain
from formers.core.notices import did_you_mean
from formers.hub import Source
from formers.jobs.answers import ASKING
from formers.jobs.mapping.answering import OWN, Answerer, Receipt, Work
from formers.jobs.mapping.folder import Folder, Plan, revision_of
from formers.jobs.mapping.inputs import FILE, Block, columns_of, found, kind_of, refuse_missing
from formers.jobs.predictor import model_name
from formers.pipelines.registry import PIPELINE_REGISTRY
from formers.pipelines.table import Task
from formers.training.data.tables import TEXT_NAMES

_USUAL = {"image": ("image", "img", "picture", "photo", FILE), "audio": ("audio", "sound", FILE)}


@dataclass(frozen=True)
class Report:
    """How far a run is.

    Attributes:
        folder: where the answers are.
        total: blocks of the whole work.
        skipped: blocks that an earlier run had answered.
        blocks: blocks of this run.
        rows: their rows.
        errors: those of them that have an error in the place of an answer.
        bytes: written.
        seconds: of work, of all workers together.
    """

    folder: Path
    total: int
    skipped: int
    blocks: int = 0
    rows: int = 0
    errors: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def with_one(self, one: Receipt) -> Report:
        """The report after one more block."""
        return replace(
            self,
            blocks=self.blocks + 1,
            rows=self.rows + one.rows,
            errors=self.errors + one.errors,
            bytes=self.bytes + one.bytes,
            seconds=self.seconds + one.seconds,
        )


def map_files(
    task: str,
    model: str | Path,
    inputs: Sequence[str | Path] | str | Path,
    output: str | Path,
    *,
    columns: Sequence[str] | str = (),
    keep: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    revision: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    rows: int = 1000,
    told: Callable[[Report], None] | None = None,
) -> Report:
    """Answer every row of files, once, into a folder; a run that was stopped goes on when it is called again.

    Answers are JSON lines, `{"source": file, "row": place, "answer": ...}`, in a file for each block of rows,
    which is whole or not there. A row that cannot be answered has an "error" in place of the answer.

    Args:
        task: of `pipeline`.
        model: folder that all workers can read, or Hub id.
        inputs: files, folders and patterns: tables (parquet, CSV, TSV, JSON, JSON lines; gzip), or pictures,
            sounds and films, each of which is a row.
        output: folder for the answers; new, or that of the same run.
        columns: columns that are asked about, `name=column` where the pipeline calls it otherwise; the usual
            ones of the task unless given.
        keep: columns that go along into the answers.
        parameters: further keywords of `pipeline`.
        revision: of a model of the Hub.
        address: "auto" or the address of a Ray cluster, "local" for one on this machine; None for this
            process alone, where no more than one worker is asked for.
        workers: processes; as many as the cluster has processors (or GPUs) unless given.
        batch_size: at most so many rows in a pass of the model.
        device: of the model.
        dtype: of the model.
        rows: of a block, at most: what is lost when a worker dies.
        told: called after each block.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: for an input that is not there.
        MissingExtra: where a cluster is asked for, and Ray is not installed.
        RuntimeError: where workers died again and again.
        ValueError: for a folder with the answers of another run, columns that are not there, an unknown task.
    """
    record, name = _task(task), model_name(str(model))
    _check_counts(rows=rows, workers=workers, batch_size=batch_size)
    paths = found([str(inputs)] if isinstance(inputs, (str, Path)) else [str(one) for one in inputs])
    folder = Folder(Path(output).expanduser().resolve())
    _refuse_misfits(paths, record, folder)
    asked = _asked(record, paths[0], [columns] if isinstance(columns, str) else columns)
    if clash := sorted({*keep} & {*OWN}):
        raise ValueError(f"--keep {clash[0]}: that is what a field of the answers is called")
    for path in paths:
        refuse_missing(path, [*asked.values(), *keep])
    source = Source.of(name, revision=revision)
    commit = revision_of(name, revision)
    given = {**(parameters or {}), **({} if dtype is None else {"dtype": dtype})}
    settings = plain(
        {
            "task": record.name, "model": str(source.folder.resolve()) if source.folder else name,
            "revision": commit, "parameters": given, "columns": asked, "keep": list(keep), "rows": rows,
        }
    )  # fmt: skip
    plan = folder.plan(settings, paths, rows)
    options = {name: value for name, value in (("batch_size", batch_size), ("device", device)) if value}
    work = Work(
        str(folder.path), record.name, settings["model"], None if source.is_local else commit, asked,
        tuple(keep), record.kind == "text", {**given, **options},
    )  # fmt: skip
    folder.tidy()
    left = folder.left(plan)
    report = Report(folder.path, len(plan.blocks), len(plan.blocks) - len(left))
    for receipt in _receipts(work, plan, left, address, workers):
        report = report.with_one(receipt)
        if told is not None:
            told(report)
    if missing := folder.left(plan):
        raise RuntimeError(f"{len(missing)} blocks were not answered: the same call goes on with them")
    folder.tidy()
    return report


def _receipts(
    work: Work, plan: Plan, left: list[Block], address: str | None, workers: int | None
) -> Iterable[Receipt]:
    """The work that is left, by this process or by a cluster."""
    if not left:
        return ()
    if address is None and (workers or 1) == 1:
        return _alone(work, plan, left)
    from formers.jobs.mapping.on_ray import on_cluster

    tasks = [(block, plan.files_of(block)) for block in left]
    return on_cluster(work, tasks, address or "local", workers)


def _alone(work: Work, plan: Plan, left: list[Block]) -> Iterator[Receipt]:
    answerer = Answerer(work)
    for block in left:
        if (receipt := answerer.answer(block, plan.files_of(block))) is not None:
            yield receipt


def _task(task: str) -> Task:
    try:
        return PIPELINE_REGISTRY.get(task)
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def _refuse_misfits(paths: list[str], task: Task, folder: Folder) -> None:
    """Refuse files that the task cannot read, tables beside others, and inputs that lie in the output."""
    others = [path for path in paths if not kind_of(path)]
    if others and task.kind == "text":
        raise ValueError(
            f"{others[0]} is no table: {task.name} reads .parquet, .csv, .tsv, .json and .jsonl (with .gz)"
        )
    if others and len(others) < len(paths):
        table = next(path for path in paths if kind_of(path))
        raise ValueError(f"{table} is a table, and {others[0]} is a row: map them one after the other")
    for path in paths:
        if Path(path).is_relative_to(folder.path):
            raise ValueError(f"{path} lies in {os.fspath(folder.path)}, where the answers go: name another")


def _asked(task: Task, first: str, given: Sequence[str]) -> dict[str, str]:
    """What the pipeline is asked -> column.

    Raises:
        ValueError: where no column has a usual name.
    """
    if given:
        pairs = [one.partition("=") for one in given]
        return {name: column or name for name, _, column in pairs}
    if not kind_of(first):
        return {FILE: FILE}
    known = ASKING.get(task.name)
    if known is not None and len(known.columns) > 1 and known.pipeline == task.name:
        return {name: name for name in known.columns}
    there = columns_of(first)
    usual = _USUAL.get(task.kind, TEXT_NAMES if task.kind == "text" else ())
    name = next((one for one in there if one.lower() in usual), None)
    if name is None:
        near = did_you_mean(usual[0], there) if usual else ""
        raise ValueError(f"{first} has the columns {there}{near}: say with --column which are asked about")
    return {name: name}
