"""The tasks that `formers train` knows, and where their jobs are."""

from __future__ import annotations

import importlib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.jsonfile import read_json_object
from formers.core.notices import did_you_mean

if TYPE_CHECKING:
    from formers.jobs.job import Job, Report

CLASSIFICATION = "text-classification"
JOBS = {
    CLASSIFICATION: "formers.jobs.classification:Classification",
    "token-classification": "formers.jobs.tokens:Tokens",
    "question-answering": "formers.jobs.questions:Questions",
    "text-generation": "formers.jobs.language:Causal",
    "fill-mask": "formers.jobs.language:Masked",
    "summarization": "formers.jobs.writing:Summaries",
    "translation": "formers.jobs.writing:Translations",
    "sentence-embeddings": "formers.jobs.embeddings:Embeddings",
    "multiple-choice": "formers.jobs.choosing:Choosing",
    "multi-label-classification": "formers.jobs.labels:Several",
    "pair-classification": "formers.jobs.labels:Pairs",
    "regression": "formers.jobs.labels:Numbers",
    "image-classification": "formers.jobs.pictures:Pictures",
}
ALIASES = {
    "sentiment-analysis": CLASSIFICATION,
    "ner": "token-classification",
    "causal-lm": "text-generation",
    "masked-lm": "fill-mask",
}


def job_of(task: str) -> type[Job]:
    """The job of a task.

    Raises:
        ValueError: for a task that is not known.
    """
    where = JOBS.get(ALIASES.get(task, task))
    if where is None:
        near = did_you_mean(task, [*JOBS, *ALIASES])
        raise ValueError(f"--task {task} is not known{near}; known are {', '.join(JOBS)}")
    module, _, name = where.partition(":")
    found: type[Job] = getattr(importlib.import_module(module), name)
    return found


def judge(
    task: str,
    model: str,
    data: Path,
    text_column: str | None = None,
    label_column: str | None = None,
    **options: Any,
) -> Report:
    """How a saved model answers the examples of a file; `options` are keywords of `pipeline`.

    Raises:
        ValueError: for a column that the task does not have, or data that cannot be read.
    """
    job_class = job_of(task)
    columns = {"text_column": text_column, "label_column": label_column}
    named: dict[str, Any] = {name: column for name, column in columns.items() if column is not None}
    for name in named:
        if name not in {field.name for field in fields(job_class.plan_class)}:
            raise ValueError(f"--{name.replace('_', '-')} is no option of --task {task}")
    job = job_class(job_class.plan_class(data, model, Path(model), **named))
    given = {name: value for name, value in options.items() if value is not None}
    return job.report(job.plan.model, job.read(), **given)


def task_of(model: str, task: str | None) -> str:
    """The task that a saved model was trained for, unless one is named."""
    if task is not None:
        return ALIASES.get(task, task)
    record = Path(model).expanduser() / "metrics.json"
    known = read_json_object(record).get("task") if record.is_file() else None
    return known if known in JOBS else CLASSIFICATION
