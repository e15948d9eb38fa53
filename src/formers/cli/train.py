"""`formers train`: fine-tune, calibrate and save a classifier, from a labelled table."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_type_hints

import typer

from formers.cli import choices
from formers.jobs.classification import Plan

_SHARED = {
    "data": choices.Data,
    "model": Annotated[
        str, typer.Option("--model", "-m", help="Pretrained encoder: folder or Hub id.", show_default=False)
    ],
    "output": choices.Folder,
}
_SWITCHES = {"bf16": "--bf16/--no-bf16", "resume": "--resume", "overwrite": "--overwrite"}


def train(**options: Any) -> None:
    """Fine-tune a classifier; save it with its tokenizer, calibration, thresholds and drift baseline.

    Ctrl-C leaves a checkpoint behind, from which --resume goes on.
    """
    from formers.cli.evaluate import show
    from formers.cli.show import say
    from formers.desk import drift
    from formers.jobs.classification import run

    plan = Plan(**options)
    outcome = run(plan, say)
    names, texts = outcome.predictor.labels, [row["text"] for row in outcome.validation]
    if len(texts) >= drift.MINIMUM:
        tokenizer = outcome.predictor.pipe.tokenizer
        found = drift.baseline(texts, outcome.probabilities, label_names=names, tokenizer=tokenizer)
        found.save(plan.output)
    else:
        say(f"no drift baseline: {len(texts)} validation texts, {drift.MINIMUM} are needed")
    if outcome.judged is not None:
        show(outcome.judged.metrics)
    say(f"saved: {plan.output}   next: formers serve --model {plan.output}")


def _signature() -> inspect.Signature:
    """The fields of a plan as options, as typer reads them from a function."""
    kinds = get_type_hints(Plan)
    parameters = []
    for field in fields(Plan):
        if field.name == "card":
            continue
        kind = _SHARED.get(field.name)
        if kind is None:
            told = field.metadata
            switch = [_SWITCHES[field.name]] if field.name in _SWITCHES else []
            limits = {"min": told["limits"].get("at_least"), "max": told["limits"].get("at_most")}
            kind = Annotated[kinds[field.name], typer.Option(*switch, help=told["help"], **limits)]
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        )
    return inspect.Signature(parameters)


train.__signature__ = _signature()  # type: ignore[attr-defined]
train.__annotations__ = {name: entry.annotation for name, entry in train.__signature__.parameters.items()}  # type: ignore[attr-defined]
