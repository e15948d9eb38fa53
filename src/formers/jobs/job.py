"""One training from a file to a folder: read, split, fit, judge, report. What the jobs of all tasks share."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from formers.core.atomic import write_text
from formers.jobs.output import Output
from formers.jobs.plan import HeadPlan, Plan
from formers.jobs.predictor import model_name

Row = dict[str, Any]
Rows = list[Row]
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Parts:
    """The rows of the data: what is fitted, what stops the fit, and what is judged in the end."""

    training: Rows
    validation: Rows
    held_out: Rows


@dataclass(frozen=True)
class Report:
    """What was measured, and what a person would look at.

    Attributes:
        metrics: numbers by name; those of parts in dictionaries of their own.
        text: Markdown.
    """

    metrics: dict[str, Any]
    text: str

    @property
    def numbers(self) -> dict[str, float]:
        """The figures of the whole."""
        return {name: value for name, value in self.metrics.items() if isinstance(value, int | float)}

    def files(self, task: str) -> dict[str, str]:
        """Name of a file -> what it holds."""
        record = {"version": 1, "task": task, **self.metrics}
        return {"report.md": self.text, "metrics.json": as_json(record)}


@dataclass(frozen=True)
class Outcome:
    """A training that came to its end; `report` is None where nothing was held out."""

    parts: Parts
    history: list[dict[str, Any]]
    report: Report | None


class Job:
    """One training. A subclass says what its task is, how rows are read, and how answers are judged.

    Args:
        plan: what to train, from what, and how.
    """

    task: ClassVar[str]  # as in `pipeline(task)`, where there is one
    auto: ClassVar[str]  # the class of `formers` that loads the model
    plan_class: ClassVar[type[Plan]] = Plan
    noun: ClassVar[str] = "texts"
    best: ClassVar[str] = "loss"  # what the best model is known by
    held_out_name: ClassVar[str] = "held-out.jsonl"

    def __init__(self, plan: Any) -> None:
        self.plan = replace(plan, model=model_name(plan.model))

    # -- what a task says --------------------------------------------------------------------------

    def read(self) -> Rows:
        """The rows of the data, each of them checked."""
        raise NotImplementedError

    def group(self, row: Row) -> Hashable | None:
        """What goes into one part of the split together; None for a row by itself."""
        return None

    def labels(self, rows: Rows) -> list[str]:
        """Names of the labels, in the order of their numbers."""
        return []

    def load(self, tokenizer: Any, labels: list[str]) -> Any:
        """The model that is fitted, in float32."""
        import formers

        names: dict[str, Any] = {}
        if labels:
            names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
            names["ignore_mismatched_sizes"] = True
        return getattr(formers, self.auto).from_pretrained(self.plan.model, dtype="float32", **names)

    def processor(self) -> Any:
        """What prepares inputs, and is saved with the model: the tokenizer."""
        from formers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.plan.model)
        # saved with the model, so that texts are cut in service where they were cut in training
        tokenizer.model_max_length = min(self.plan.max_length, tokenizer.model_max_length)
        return tokenizer

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> Any:
        """Model inputs with labels, a sequence of mappings."""
        raise NotImplementedError

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """What makes batches."""
        from formers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]] | None:
        """What is measured after each epoch, beside the loss."""
        return None

    def report(self, name: str, rows: Rows, **options: Any) -> Report:
        """How the saved model `name` answers `rows`; `options` are keywords of `pipeline`."""
        raise NotImplementedError

    # -- what a task may say -----------------------------------------------------------------------

    def trainer_class(self) -> Any:
        """The trainer."""
        from formers import Trainer

        return Trainer

    def arguments(self) -> dict[str, Any]:
        """Training arguments of this task."""
        plan = self.plan
        if not isinstance(plan, HeadPlan):
            return {}
        # a fresh head has further to go than a pretrained trunk
        head = 5 * plan.learning_rate if plan.head_learning_rate is None else plan.head_learning_rate
        return {"head_learning_rate": head, "ema_decay": plan.ema_decay or None}

    def split(self) -> Parts:
        """The parts, drawn by the seed."""
        plan = self.plan
        rest, held_out = self.read(), Rows()
        if plan.test_size:
            rest, held_out = self._divided(rest, plan.test_size, "--test-size")
        return Parts(*self._divided(rest, plan.validation_size, "--validation-size"), held_out)

    def held_out_text(self, rows: Rows) -> str:
        """The held-out rows as a file that `read` reads."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def conclude(self, parts: Parts, say: Say) -> Report | None:
        """Judge the saved model."""
        return self.report(str(self.plan.output), parts.held_out) if parts.held_out else None

    def shown(self, report: Any) -> dict[str, float]:
        """What the model card tells."""
        return report.numbers if report is not None else {}

    def saved(self, model: Any) -> None:
        """Add to the folder what this task keeps beside its model."""

    def _divided(self, rows: Rows, size: float, option: str) -> tuple[Rows, Rows]:
        found = ((self.group(row), place) for place, row in enumerate(rows))
        groups = [place if group is None else group for group, place in found]
        order = sorted(dict.fromkeys(groups), key=str)
        random.Random(self.plan.seed).shuffle(order)
        taken = math.ceil(size * len(order))
        if taken in (0, len(order)):
            raise ValueError(
                f"{self.plan.data}: {option} {size:g} takes {taken} of {len(order)} and leaves none: give "
                "more data, or a smaller share"
            )
        chosen = set(order[:taken])
        parts: tuple[Rows, Rows] = ([], [])
        for row, group in zip(rows, groups, strict=True):
            parts[group in chosen].append(row)
        return parts

    # -- the work ----------------------------------------------------------------------------------

    def run(self, say: Say = print) -> Outcome:
        """Train as planned, and tell `say` what comes out. Refusals name the options of the command.

        Raises:
            ValueError: for options that contradict each other, or data that cannot be read or split.
        """
        plan = self.plan
        choose_device(plan.device)
        output = Output(plan.output)
        output.refuse(resume=plan.resume, overwrite=plan.overwrite)
        parts = self.split()
        held_out = self.held_out_text(parts.held_out)
        facts = self._facts(parts, held_out)
        if plan.resume:
            facts = output.resume(plan.data, facts)
        output.refuse_loss(plan.data, plan.model, facts)
        sizes = f"{len(parts.training):,} {self.noun} to train on, {len(parts.validation):,} to validate on"
        say(f"{sizes}, {len(parts.held_out):,} held out")
        try:
            history = self._fit(parts, facts)
        except (KeyboardInterrupt, SystemExit):
            if output.unfinished:
                say("the same command with --resume goes on from there")
            raise
        if parts.held_out:
            write_text(plan.output / self.held_out_name, held_out)
        report = self.conclude(parts, say)
        self._describe(report, facts["labels"])
        output.finish(facts, report.files(self.task) if report is not None else {})
        return Outcome(parts, history, report)

    def _facts(self, parts: Parts, held_out: str) -> dict[str, Any]:
        """What tells one split of the data from another, and one start of a training from another.

        Beside it the labels in the order of their numbers, and what tells the file of the held-out rows.
        """
        plan = self.plan
        local = Path(plan.model)
        rows = [parts.training, parts.validation, parts.held_out]
        return {
            "--task": self.task,
            "--model": local.resolve().name if local.is_dir() else plan.model,  # it may have moved since
            "--seed": plan.seed,
            "--test-size": plan.test_size,
            "--validation-size": plan.validation_size,
            "rows": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
            "labels": self.labels(parts.training + parts.validation + parts.held_out),
            self.held_out_name: hashlib.sha256(held_out.encode()).hexdigest(),
        }

    def _fit(self, parts: Parts, facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Fine-tune, stop early, and save the best model with its tokenizer. Returns the log."""
        from formers import EarlyStoppingCallback, set_seed

        plan, output = self.plan, Output(self.plan.output)
        tokenizer = self.processor()
        set_seed(plan.seed)  # the trainer's own seed comes after the head is drawn
        model = self.load(tokenizer, facts["labels"])
        examples = {
            "train_dataset": self.features(parts.training, tokenizer, model, training=True),
            "eval_dataset": self.features(parts.validation, tokenizer, model, training=False),
        }
        if not plan.resume:
            output.start(facts)
        trainer = self.trainer_class()(
            model=model,
            args=self._arguments(output.checkpoints),
            **examples,
            processing_class=tokenizer,
            data_collator=self.collator(tokenizer, model),
            compute_metrics=self.measure(tokenizer, facts["labels"]),
            callbacks=[EarlyStoppingCallback(early_stopping_patience=plan.patience)],
        )
        trainer.train(resume_from_checkpoint=plan.resume or None)
        output.forget_the_old_model()
        trainer.save_model(str(plan.output))
        self.saved(trainer.model)
        return list(trainer.state.log_history)

    def _arguments(self, folder: Path) -> Any:
        """The plan as training arguments."""
        from formers import Seq2SeqTrainingArguments, TrainingArguments
        from formers.core.devices import resolve

        plan, more = self.plan, self.arguments()
        kind = Seq2SeqTrainingArguments if "predict_with_generate" in more else TrainingArguments
        given = {
            "num_train_epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
            "per_device_train_batch_size": plan.batch_size,
            "per_device_eval_batch_size": 64,
            "warmup_ratio": plan.warmup,
            "weight_decay": plan.weight_decay,
            "bf16": has_bfloat16(plan.device) if plan.bf16 is None else plan.bf16,
            "use_cpu": plan.device is not None and resolve(plan.device).type == "cpu",
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "save_on_interrupt": True,
            "load_best_model_at_end": True,
            "metric_for_best_model": self.best,
            "logging_steps": 0.05,
            "seed": plan.seed,
        }
        return kind(output_dir=str(folder), **{**given, **more})

    def _describe(self, report: Any, labels: Sequence[str]) -> None:
        """Write the model card: what it was made from, how, and how good it is."""
        from formers.hub.card import model_card, save_card

        plan = self.plan
        told: dict[str, Any] = {
            "name": plan.output.name,
            "base_model": None if Path(plan.model).is_dir() else plan.model,
            "task": self.task,
            "datasets": [plan.data.name],
            "metrics": self.shown(report),
            "labels": labels,
            "training": {name: getattr(plan, name) for name in plan.settings},
        }
        save_card(plan.output, model_card(**{**told, **(plan.card or {})}))


def choose_device(name: str | None) -> None:
    """Refuse a device that is not there, and let a chosen accelerator be the one that training uses.

    Raises:
        ValueError: naming the devices that are there.
    """
    import torch

    from formers.core.devices import resolve_working

    device = resolve_working(name)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)


def has_bfloat16(device: str | None) -> bool:
    """Whether training there gains by bfloat16: a GPU that has it, or a CPU with instructions for it."""
    import torch

    from formers.core.devices import fast_on_cpu, resolve

    where = resolve(device)
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return where.type == "cpu" and fast_on_cpu(torch.bfloat16)


def as_json(values: Any) -> str:
    """A JSON document, for people too."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def heading(name: str, numbers: dict[str, float], count: str) -> list[str]:
    """How a report begins: the model's name, how much it was judged on, and the figures of the whole."""
    from formers.hub.card import table

    return [f"# {Path(name).name}", f"Judged on {count}.", table(("", "value"), numbers.items())]


def pages(parts: Iterable[str]) -> str:
    """Parts of a report, one below the other."""
    return "\n\n".join(parts) + "\n"
