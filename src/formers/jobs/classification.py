"""From a labelled table to a classifier: split, fine-tune, calibrate, set thresholds, judge, save."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.core.atomic import write_text
from formers.core.fields import read_fields
from formers.jobs.output import HELD_OUT, Output
from formers.jobs.predictor import Predictor, model_name
from formers.jobs.tables import write_csv

if TYPE_CHECKING:
    from formers.jobs.judging import Judged

SHOWN = ("accuracy", "macro_f1", "ece")  # of what is measured after each epoch
SETTINGS = ("epochs", "learning_rate", "batch_size", "warmup", "weight_decay", "max_length", "class_weights")
Rows = list[dict[str, Any]]  # each with "text" and "label"


def told(default: Any, what: str, **limits: float) -> Any:
    """A field of a plan: its default, what it is for, and its limits (see `core.fields.Field`)."""
    return field(default=default, metadata={"help": what, "limits": limits})


@dataclass(frozen=True)
class Plan:
    """What to train, from what, and how."""

    data: Path
    model: str
    output: Path
    text_column: str = told("text", "Column that holds the texts.")
    label_column: str = told("label", "Column that holds the labels.")
    epochs: float = told(4.0, "Passes over the training part.", at_least=0.01)
    learning_rate: float = told(2e-4, "Its highest value; 2e-5 to 5e-5 suit larger models.", at_least=0)
    head_learning_rate: float | None = told(
        None, "That of the new head; 5 times the other, if left out.", at_least=0
    )
    batch_size: int = told(32, "Texts in a step.", at_least=1)
    warmup: float = told(0.1, "Share of the steps in which the rate rises.", at_least=0, at_most=1)
    weight_decay: float = told(0.0, "As AdamW has it.", at_least=0)
    ema_decay: float = told(
        0.995, "Of the average of the weights that is kept; 0 for none.", at_least=0, at_most=0.9999
    )
    max_length: int = told(256, "Longest text in tokens, in training and ever after.", at_least=8)
    class_weights: str = told("sqrt", "Weight of rare labels in the loss: sqrt, balanced or none.")
    bf16: bool | None = told(None, "bfloat16 where the hardware has it, if left out.")
    seed: int = told(
        0, "Of the weights' start, the order of the texts and the splits.", at_least=0, at_most=2**32 - 1
    )
    test_size: float = told(0.1, "Share held out and judged at the end; 0 for none.", at_least=0, at_most=0.9)
    validation_size: float = told(
        0.1, "Share of the rest for early stopping and calibration.", at_least=0.01, at_most=0.9
    )
    precision: float = told(0.9, "Wanted among the answers that no person sees.", at_least=0.01, at_most=1)
    patience: int = told(2, "Epochs without a better macro F1 before it stops.", at_least=1)
    resume: bool = told(False, "Go on from the last checkpoint in the output folder.")
    overwrite: bool = told(False, "Train again over a finished output folder.")
    device: str | None = told(None, "cpu, cuda, cuda:1, mps; the best one when left out.")
    card: dict[str, Any] | None = told(None, "More for the model card, as `hub.card.model_card` takes it.")

    def __post_init__(self) -> None:
        read_fields(self)
        if self.class_weights not in ("sqrt", "balanced", "none"):
            raise ValueError(f"--class-weights is sqrt, balanced or none, not {self.class_weights!r}")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"--{name.replace('_', '-')} must be a finite number, got {value}")


@dataclass(frozen=True)
class Outcome:
    """A trained classifier, and what it was made from.

    Attributes:
        predictor: the saved model, calibrated, with its thresholds.
        training: rows that it was fine-tuned on.
        validation: rows that stopped the training, and that the calibration and thresholds were fitted on.
        probabilities: calibrated scores of the validation rows [N, K].
        judged: its outputs for the rows that were held out; None where none were.
        history: the trainer's log.
    """

    predictor: Predictor
    training: Rows
    validation: Rows
    probabilities: Any
    judged: Judged | None
    history: list[dict[str, Any]]


def run(plan: Plan, say: Callable[[str], Any] = print) -> Outcome:
    """Train as planned, and tell `say` what comes out. Refusals name the options as the command spells them.

    Raises:
        ValueError: for options that contradict each other, or data that cannot be split.
    """
    from formers.jobs.judging import Judged

    plan = replace(plan, model=model_name(plan.model))
    choose_device(plan)
    output = Output(plan.output)
    output.refuse(resume=plan.resume, overwrite=plan.overwrite)
    training, validation, held_out = split(plan)
    facts = split_facts(plan, training, validation, held_out)
    if plan.resume:
        facts = output.resume(plan.data, facts)
    output.refuse_loss(plan.data, plan.model, facts)
    sizes = f"{len(training):,} texts to train on, {len(validation):,} to calibrate on"
    say(f"{sizes}, {len(held_out):,} held out")
    try:
        history = fit(plan, training, validation, facts)
    except (KeyboardInterrupt, SystemExit):
        if output.unfinished:
            say("the same command with --resume goes on from there")
        raise
    probabilities = calibrate(Predictor.load(str(plan.output)), validation, plan.precision, say)
    predictor = Predictor.load(str(plan.output))  # with its calibration and thresholds this time
    judged = None
    if held_out:
        write_text(plan.output / HELD_OUT, as_csv(held_out))
        judged = Judged.of(predictor, held_out)
    describe(plan, predictor, judged.metrics if judged else {})
    output.finish(facts)
    return Outcome(predictor, training, validation, probabilities, judged, history)


def choose_device(plan: Plan) -> None:
    """Refuse a device that is not there, and let a chosen accelerator be the one that training uses.

    Raises:
        ValueError: naming the devices that are there.
    """
    import torch

    from formers.core.devices import resolve_working

    device = resolve_working(plan.device)
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)


def split_facts(plan: Plan, *parts: Rows) -> dict[str, Any]:
    """What tells one split of the data from another, and one start of a training from another.

    Beside it the labels in the order of their numbers, and what tells the file of the held-out rows.
    """
    from formers.training.data import label_names

    local = Path(plan.model)
    return {
        "--model": local.resolve().name if local.is_dir() else plan.model,  # it may have moved since
        "--seed": plan.seed,
        "--test-size": plan.test_size,
        "--validation-size": plan.validation_size,
        "rows": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
        "labels": label_names(row["label"] for row in parts[0]),
        HELD_OUT: hashlib.sha256(as_csv(parts[-1]).encode()).hexdigest(),
    }


def split(plan: Plan) -> tuple[Rows, Rows, Rows]:
    """Training, validation and held-out rows, with the labels' shares kept in each."""
    from formers.core.extras import need
    from formers.training.data import load_table

    rows = load_table(plan.data, text_column=plan.text_column, label_column=plan.label_column)
    counts = Counter(str(row["label"]) for row in rows)
    if len(counts) < 2:
        raise ValueError(
            f"{plan.data}: a classifier needs at least two labels, {plan.label_column!r} has {list(counts)}"
        )
    least = 2 + (plan.test_size > 0)
    if rare := [label for label, count in counts.items() if count < least]:
        raise ValueError(f"{plan.data}: each label needs {least} texts or more; too few for {rare[:5]}")
    divide = need("sklearn.model_selection", "train", "splitting the data").train_test_split

    def parts(whole: Rows, size: float, option: str) -> tuple[Rows, Rows]:
        labels = [str(row["label"]) for row in whole]
        refuse_a_part_too_small(plan.data, labels, size, option)
        most, rest = divide(whole, test_size=size, random_state=plan.seed, stratify=labels)
        return most, rest

    rest, held_out = parts(rows, plan.test_size, "--test-size") if plan.test_size else (rows, [])
    training, validation = parts(rest, plan.validation_size, "--validation-size")
    return training, validation, held_out


def refuse_a_part_too_small(data: Path, labels: list[str], size: float, option: str) -> None:
    """Refuse to take the share `size` of the texts with these labels, where not every label gets a place.

    Raises:
        ValueError: naming `option`, which asked for that share.
    """
    counts = Counter(labels)
    taken = math.ceil(size * len(labels))
    if min(taken, len(labels) - taken) < len(counts):
        none = " (0 for none)" if option == "--test-size" else ""
        raise ValueError(
            f"{data}: {option} {size:g} takes {taken} of {len(labels)} texts and leaves "
            f"{len(labels) - taken}; each part needs one or more of each of the {len(counts)} labels. "
            f"Give more texts, or another {option}{none}"
        )
    if rare := [label for label, count in counts.items() if count < 2]:
        raise ValueError(
            f"{data}: a single text is left for {rare[:5]}, too few to split by {option} {size:g}: give more "
            "of them, or a smaller --test-size"
        )


def fit(plan: Plan, training: Rows, validation: Rows, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Fine-tune, stop early by macro F1, and save the best model with its tokenizer. Returns the log."""
    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        Trainer,
        set_seed,
    )
    from formers.evaluation.metrics import compute_metrics_for
    from formers.training.data import tokenize_rows

    id2label = dict(enumerate(facts["labels"]))
    label2id = {name: number for number, name in id2label.items()}
    tokenizer = AutoTokenizer.from_pretrained(plan.model)
    # saved with the model, so that texts are cut in service where they were cut in training
    tokenizer.model_max_length = min(plan.max_length, tokenizer.model_max_length)
    set_seed(plan.seed)  # the trainer's own seed comes after the head is drawn
    model = AutoModelForSequenceClassification.from_pretrained(
        plan.model, id2label=id2label, label2id=label2id, ignore_mismatched_sizes=True, dtype="float32"
    )

    def encoded(rows: Rows) -> list[dict[str, Any]]:
        return tokenize_rows(rows, tokenizer, label2id=label2id)

    measure = compute_metrics_for(id2label)

    def chosen(prediction: Any) -> dict[str, float]:
        found = measure(prediction)
        return {name: found[name] for name in SHOWN}

    examples = {"train_dataset": encoded(training), "eval_dataset": encoded(validation)}
    output = Output(plan.output)
    if not plan.resume:
        output.start(facts)
    trainer = Trainer(
        model=model,
        args=arguments(plan, output.checkpoints),
        **examples,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=chosen,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=plan.patience)],
    )
    trainer.train(resume_from_checkpoint=plan.resume or None)
    output.forget_the_old_model()
    trainer.save_model(str(plan.output))
    return list(trainer.state.log_history)


def arguments(plan: Plan, folder: Path) -> Any:
    """The plan as `TrainingArguments`."""
    from formers import TrainingArguments
    from formers.core.devices import resolve

    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        # a fresh head has further to go than a pretrained trunk
        head_learning_rate=(
            5 * plan.learning_rate if plan.head_learning_rate is None else plan.head_learning_rate
        ),
        per_device_train_batch_size=plan.batch_size,
        per_device_eval_batch_size=64,
        warmup_ratio=plan.warmup,
        weight_decay=plan.weight_decay,
        ema_decay=plan.ema_decay or None,
        class_weights=None if plan.class_weights == "none" else plan.class_weights,
        bf16=has_bfloat16(plan.device) if plan.bf16 is None else plan.bf16,
        use_cpu=plan.device is not None and resolve(plan.device).type == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_on_interrupt=True,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        logging_steps=0.05,
        seed=plan.seed,
    )


def has_bfloat16(device: str | None) -> bool:
    """Whether training there gains by bfloat16: a GPU that has it, or a CPU with instructions for it."""
    import torch

    from formers.core.devices import fast_on_cpu, resolve

    where = resolve(device)
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return where.type == "cpu" and fast_on_cpu(torch.bfloat16)


def calibrate(predictor: Predictor, validation: Rows, precision: float, say: Callable[[str], Any]) -> Any:
    """Fit calibration and thresholds on the validation rows and save them beside the model.

    The calibrated scores of these rows come back, [N, K].
    """
    from formers.evaluation.calibration import fit_temperature
    from formers.evaluation.thresholds import fit_thresholds

    folder, names = predictor.name, predictor.labels
    labels = [names.index(str(row["label"])) for row in validation]
    logits = predictor.logits([row["text"] for row in validation])
    calibration = fit_temperature(logits, labels)
    calibration.save(folder)
    probabilities = calibration.apply(logits)
    # at 0.5, what is more likely wrong than right goes to a person
    fit_thresholds(probabilities, labels, names, precision=precision, floor=0.5).save(folder)
    say(
        f"calibrated on {len(labels):,} texts: temperature {calibration.temperature:.3f}, "
        f"expected calibration error {calibration.ece_before:.4f} -> {calibration.ece_after:.4f}"
    )
    return probabilities


def as_csv(rows: Rows) -> str:
    """Rows of text and label as a table, for `formers evaluate`."""
    stream = io.StringIO()
    write_csv(stream, [("text", "label"), *((row["text"], str(row["label"])) for row in rows)])
    return stream.getvalue()


def describe(plan: Plan, predictor: Predictor, found: dict[str, Any]) -> None:
    """Write the model card: what it was made from, how, and how good it is."""
    from formers.hub.card import model_card, save_card

    metrics = {name: found[name] for name in SHOWN if name in found}
    if found:
        metrics["answered_without_a_person"] = found["thresholds"]["coverage"]
    told: dict[str, Any] = {
        "name": plan.output.name,
        "base_model": None if Path(plan.model).is_dir() else plan.model,
        "task": "text-classification",
        "datasets": [plan.data.name],
        "metrics": metrics,
        "labels": predictor.labels,
        "training": {name: getattr(plan, name) for name in SETTINGS},
    }
    save_card(plan.output, model_card(**{**told, **(plan.card or {})}))
