"""From a labelled table to a classifier: split, fine-tune, calibrate, set thresholds, judge, save."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.jobs.job import Job, Parts, Rows, Say
from formers.jobs.plan import HeadPlan, told
from formers.jobs.predictor import Predictor
from formers.jobs.tables import write_csv

if TYPE_CHECKING:
    from formers.jobs.judging import Judged

SHOWN = ("accuracy", "macro_f1", "ece")  # of what is measured after each epoch


@dataclass(frozen=True)
class Plan(HeadPlan):
    """What to train, from what, and how."""

    settings: ClassVar[tuple[str, ...]] = (*HeadPlan.settings, "class_weights")

    text_column: str = told("text", "Column that holds the texts.")
    label_column: str = told("label", "Column that holds the labels.")
    class_weights: str = told("sqrt", "Weight of rare labels in the loss: sqrt, balanced or none.")
    precision: float = told(0.9, "Wanted among the answers that no person sees.", at_least=0.01, at_most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_weights not in ("sqrt", "balanced", "none"):
            raise ValueError(f"--class-weights is sqrt, balanced or none, not {self.class_weights!r}")


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


def run(plan: Plan, say: Say = print) -> Outcome:
    """Train as planned, and tell `say` what comes out. Refusals name the options as the command spells them.

    Raises:
        ValueError: for options that contradict each other, or data that cannot be split.
    """
    job = Classification(plan)
    found = job.run(say)
    return Outcome(
        job.predictor,
        found.parts.training,
        found.parts.validation,
        job.probabilities,
        job.judged,
        found.history,
    )


class Classification(Job):
    """A text has one label."""

    task = "text-classification"
    auto = "AutoModelForSequenceClassification"
    plan_class = Plan
    best = "macro_f1"
    held_out_name = "held-out.csv"
    predictor: Predictor
    probabilities: Any = None
    judged: Judged | None = None

    def split(self) -> Parts:
        """The parts, with the labels' shares kept in each."""
        return split(self.plan)

    def labels(self, rows: Rows) -> list[str]:
        """The labels that occur."""
        from formers.training.data import label_names

        return label_names(row["label"] for row in rows)

    def features(self, rows: Rows, tokenizer: Any, model: Any, *, training: bool) -> list[dict[str, Any]]:
        """Texts as ids, labels as numbers."""
        from formers.training.data import tokenize_rows

        return tokenize_rows(rows, tokenizer, label2id=model.config.label2id)

    def measure(self, tokenizer: Any, labels: list[str]) -> Callable[[Any], dict[str, float]]:
        """Those of the metrics that are shown."""
        from formers.evaluation.metrics import compute_metrics_for

        measure = compute_metrics_for(dict(enumerate(labels)))

        def chosen(prediction: Any) -> dict[str, float]:
            found = measure(prediction)
            return {name: found[name] for name in SHOWN}

        return chosen

    def arguments(self) -> dict[str, Any]:
        """Beside those of a new head, the weights of rare labels."""
        weights = self.plan.class_weights
        return {**super().arguments(), "class_weights": None if weights == "none" else weights}

    def held_out_text(self, rows: Rows) -> str:
        """A table for `formers evaluate`."""
        return as_csv(rows)

    def conclude(self, parts: Parts, say: Say) -> None:
        """Calibrate the saved model, set its thresholds, and judge it."""
        from formers.jobs.judging import Judged

        folder, precision = str(self.plan.output), self.plan.precision
        self.probabilities = calibrate(Predictor.load(folder), parts.validation, precision, say)
        self.predictor = Predictor.load(folder)  # with its calibration and thresholds this time
        if parts.held_out:
            self.judged = Judged.of(self.predictor, parts.held_out)

    def shown(self, report: None) -> dict[str, float]:
        """What the model card tells."""
        if self.judged is None:
            return {}
        found = self.judged.metrics
        alone = found["thresholds"]["coverage"]
        return {**{name: found[name] for name in SHOWN}, "answered_without_a_person": alone}


def split(plan: Plan) -> Parts:
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

    rest, held_out = parts(rows, plan.test_size, "--test-size") if plan.test_size else (rows, Rows())
    training, validation = parts(rest, plan.validation_size, "--validation-size")
    return Parts(training, validation, held_out)


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
