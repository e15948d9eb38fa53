"""`formers train`: fine-tune a model for a task, judge it and save it, from a file of examples."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from formers.cli import choices
from formers.core.notices import did_you_mean
from formers.jobs.table import CLASSIFICATION, JOBS, job_of

_SHARED = {
    "data": Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            help="Examples: CSV, TSV, JSON, JSON lines, or what the task has files of; gzip too.",
            show_default=False,
            callback=choices.expanded,
        ),
    ],
    "model": Annotated[
        str, typer.Option("--model", "-m", help="Pretrained model: folder or Hub id.", show_default=False)
    ],
    "output": choices.Folder,
}


def train(task: str, **options: Any) -> None:
    """Fine-tune a model; judge it on what was held out, and save all in one folder.

    A text classifier gets a calibration, thresholds and a drift baseline, other tasks a report.md and a
    metrics.json. Ctrl-C leaves a checkpoint behind, from which --resume goes on.
    """
    from formers.cli.show import say

    job_class = job_of(task)
    given = {name: value for name, value in options.items() if value is not None}
    known = [field.name for field in fields(job_class.plan_class)]
    for name in given:
        if name not in known:
            option, near = name.replace("_", "-"), did_you_mean(name, known).replace("_", "-")
            raise ValueError(f"--{option} is no option of --task {job_class.task}{near}")
    job: Any = job_class(job_class.plan_class(**given))
    outcome = job.run(say)
    if job_class.task == CLASSIFICATION:
        _classifier(job, outcome)
    elif outcome.report is not None:
        say("   ".join(f"{name} {value:.4f}" for name, value in outcome.report.numbers.items()))
        say(f"written: {job.plan.output / 'report.md'}")
    following = "formers serve --model" if job_class.task == CLASSIFICATION else "formers evaluate --model"
    say(f"saved: {job.plan.output}   next: {following} {job.plan.output}")


def _classifier(job: Any, outcome: Any) -> None:
    """Keep a drift baseline beside a classifier, and show how good it is."""
    from formers.cli.evaluate import show
    from formers.cli.show import say
    from formers.desk import drift

    pipe, names = job.predictor.pipe, job.predictor.labels
    texts = [row["text"] for row in outcome.parts.validation]
    if len(texts) >= drift.MINIMUM:
        found = drift.baseline(texts, job.probabilities, label_names=names, tokenizer=pipe.tokenizer)
        found.save(job.plan.output)
    else:
        say(f"no drift baseline: {len(texts)} validation texts, {drift.MINIMUM} are needed")
    if job.judged is not None:
        show(job.judged.metrics)


def _signature() -> inspect.Signature:
    """The fields of all plans as options, as typer reads them from a function."""
    told = typer.Option("--task", help=f"{', '.join(JOBS)}.")
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("task", kind, default=CLASSIFICATION, annotation=Annotated[str, told])]
    plans = {task: job_of(task).plan_class for task in JOBS}
    owners: dict[str, list[str]] = {}
    for task, plan in plans.items():
        for field in fields(plan):
            owners.setdefault(field.name, []).append(task)
    for name, tasks in owners.items():
        if name == "card":
            continue
        entries = [field for task in tasks for field in fields(plans[task]) if field.name == name]
        required = entries[0].default is MISSING
        annotation = _SHARED.get(name) or _option(name, tasks, entries, get_type_hints(plans[tasks[0]])[name])
        default = inspect.Parameter.empty if required else None
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    return inspect.Signature(parameters)


def _option(name: str, tasks: list[str], entries: list[Any], kind: Any) -> Any:
    """An option for a field that the plans of `tasks` have, with their own defaults."""
    told = entries[0].metadata
    switch = {bool: [f"--{name.replace('_', '-')}"], bool | None: [f"--{name}/--no-{name}"]}.get(kind, [])
    limits = {"min": told["limits"].get("at_least"), "max": told["limits"].get("at_most")}
    defaults = list(dict.fromkeys(str(entry.default) for entry in entries if entry.default is not None))
    shown: Any = defaults[0] if len(defaults) == 1 and kind is not bool else False
    if len(defaults) > 1:
        shown = f"{defaults[0]}; other tasks {', '.join(defaults[1:])}"
    panel = None if len(tasks) == len(JOBS) else f"Of {', '.join(tasks)}"
    option = typer.Option(*switch, help=told["help"], show_default=shown, rich_help_panel=panel, **limits)
    return Annotated[kind | None, option]


train.__signature__ = _signature()  # type: ignore[attr-defined]
train.__annotations__ = {name: entry.annotation for name, entry in train.__signature__.parameters.items()}  # type: ignore[attr-defined]
