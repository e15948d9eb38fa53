"""What `formers train` does, step by step."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formers.cli.show import say

HELD_OUT = "held-out.csv"
SHOWN = ("accuracy", "macro_f1", "ece")  # of what is measured after each epoch
Rows = list[dict[str, Any]]  # each with "text" and "label"


@dataclass(frozen=True)
class Plan:
    """The options of `formers train`; `formers.cli.train.train` explains each."""

    data: Path
    model: str
    output: Path
    text_column: str
    label_column: str
    epochs: float
    learning_rate: float
    head_learning_rate: float | None
    batch_size: int
    warmup: float
    weight_decay: float
    ema_decay: float
    max_length: int
    class_weights: str
    bf16: bool | None
    seed: int
    test_size: float
    validation_size: float
    precision: float
    patience: int
    resume: bool
    overwrite: bool
    device: str | None

    @property
    def checkpoints(self) -> Path:
        """Where training keeps its checkpoints until the model is saved."""
        return self.output / "checkpoints"


def run(plan: Plan) -> None:
    """Train as planned, and say what came out.

    Raises:
        ValueError: for options that contradict each other, or data that cannot be split.
    """
    from formers.cli.classifier import Classifier, refuse_a_missing_folder

    refuse_a_missing_folder(plan.model)
    if plan.class_weights not in ("sqrt", "balanced", "none"):
        raise ValueError(f"--class-weights is sqrt, balanced or none, not {plan.class_weights!r}")
    if (plan.output / "config.json").is_file() and not (plan.resume or plan.overwrite):
        raise ValueError(
            f"{plan.output} holds a model already: --overwrite trains again, or name another --output"
        )
    training, validation, held_out = split(plan)
    sizes = f"{len(training):,} texts to train on, {len(validation):,} to calibrate on"
    say(f"{sizes}, {len(held_out):,} held out")
    fit(plan, training, validation)
    classifier = equip(Classifier.load(str(plan.output)), validation, plan.precision)
    describe(plan, classifier, judge(plan, classifier, held_out) if held_out else {})
    shutil.rmtree(plan.checkpoints, ignore_errors=True)
    say(f"saved: {plan.output}   next: formers serve --model {plan.output}")


def split(plan: Plan) -> tuple[Rows, Rows, Rows]:
    """Training, validation and held-out rows, with the labels' shares kept in each."""
    from formers.extras import need
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

    def parts(whole: Rows, size: float) -> tuple[Rows, Rows]:
        labels = [str(row["label"]) for row in whole]
        most, rest = divide(whole, test_size=size, random_state=plan.seed, stratify=labels)
        return most, rest

    rest, held_out = parts(rows, plan.test_size) if plan.test_size else (rows, [])
    training, validation = parts(rest, plan.validation_size)
    return training, validation, held_out


def fit(plan: Plan, training: Rows, validation: Rows) -> None:
    """Fine-tune, with early stopping on macro F1, and save the best model with its tokenizer."""
    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        EarlyStoppingCallback,
        Trainer,
    )
    from formers.evaluation.metrics import compute_metrics_for
    from formers.training.data import label_maps, tokenize_rows

    id2label, label2id = label_maps(row["label"] for row in training)
    tokenizer = AutoTokenizer.from_pretrained(plan.model)
    # saved with the model, so that texts are cut in service where they were cut in training
    tokenizer.model_max_length = min(plan.max_length, tokenizer.model_max_length)
    model = AutoModelForSequenceClassification.from_pretrained(
        plan.model, id2label=id2label, label2id=label2id, ignore_mismatched_sizes=True, dtype="float32"
    )

    def encoded(rows: Rows) -> list[dict[str, Any]]:
        return tokenize_rows(rows, tokenizer, label2id=label2id)

    measure = compute_metrics_for(id2label)

    def chosen(prediction: Any) -> dict[str, float]:
        found = measure(prediction)
        return {name: found[name] for name in SHOWN}

    trainer = Trainer(
        model=model,
        args=arguments(plan),
        train_dataset=encoded(training),
        eval_dataset=encoded(validation),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=chosen,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=plan.patience)],
    )
    trainer.train(resume_from_checkpoint=plan.resume or None)
    trainer.save_model(str(plan.output))


def arguments(plan: Plan) -> Any:
    """The plan as `TrainingArguments`."""
    from formers import TrainingArguments

    return TrainingArguments(
        output_dir=str(plan.checkpoints),
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
        use_cpu=plan.device == "cpu",
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

    from formers.devices import fast_on_cpu, resolve

    where = resolve(device)
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return where.type == "cpu" and fast_on_cpu(torch.bfloat16)


def equip(classifier: Any, validation: Rows, precision: float) -> Any:
    """Fit calibration, thresholds and drift baseline on the validation rows; save them beside the model."""
    from formers.evaluation import drift
    from formers.evaluation.calibration import fit_temperature
    from formers.evaluation.thresholds import fit_thresholds

    folder, names = classifier.name, classifier.labels
    texts = [row["text"] for row in validation]
    labels = [names.index(str(row["label"])) for row in validation]
    logits = classifier.logits(texts)
    calibration = fit_temperature(logits, labels)
    calibration.save(folder)
    probabilities = calibration.apply(logits)
    fit_thresholds(probabilities, labels, names, precision=precision, floor=0.5).save(folder)
    if len(texts) >= drift.MINIMUM:
        drift.baseline(texts, probabilities, label_names=names, tokenizer=classifier.pipe.tokenizer).save(
            folder
        )
    else:
        say(f"no drift baseline: {len(texts)} validation texts, {drift.MINIMUM} are needed")
    say(
        f"calibrated on {len(texts):,} texts: temperature {calibration.temperature:.3f}, "
        f"expected calibration error {calibration.ece_before:.4f} -> {calibration.ece_after:.4f}"
    )
    return type(classifier).load(folder)


def judge(plan: Plan, classifier: Any, held_out: Rows) -> dict[str, Any]:
    """Judge the saved model on the held-out rows, and keep these for `formers evaluate`."""
    from formers.cli.evaluate import Judged, show

    with (plan.output / HELD_OUT).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(held_out)
    found = Judged.of(classifier, held_out).metrics()
    show(found)
    return found


def describe(plan: Plan, classifier: Any, found: dict[str, Any]) -> None:
    """Write the model card: what it was made from, how, and how good it is."""
    from formers.hub.card import model_card, save_card

    metrics = {name: found[name] for name in SHOWN if name in found}
    if found:
        metrics["answered_without_a_person"] = found["thresholds"]["coverage"]
    settings = (
        "epochs",
        "learning_rate",
        "batch_size",
        "warmup",
        "weight_decay",
        "max_length",
        "class_weights",
    )
    card = model_card(
        name=plan.output.name,
        base_model=None if Path(plan.model).is_dir() else plan.model,
        task="text-classification",
        datasets=[plan.data.name],
        metrics=metrics,
        labels=classifier.labels,
        training={name: getattr(plan, name) for name in settings},
    )
    save_card(plan.output, card)
