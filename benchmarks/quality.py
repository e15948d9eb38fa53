"""How well the ticket router decides: all-MiniLM-L6-v2 fine-tuned, beside TF-IDF and logistic regression.

The data are CPython's changelog entries by component, split by `train_test_split(test_size=0.1,
random_state=0, stratify=label)`. A part of the training side is held back to fit the temperature on; the
baseline learns from the whole training side. Macro-F1, accuracy and the expected calibration error (15 bins)
of the test part are given for every seed, with their means. Settings are chosen with `--choose`, which judges
on a part of the training side and never looks at the test part.

    python benchmarks/quality.py [--seeds 0 1 2] [--choose] [--record]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
BASELINE = 0.656  # what the baseline reaches; another figure means another split

Rows = list[dict[str, str]]


@dataclass
class Figures:
    """One seed, on the rows that it is judged by."""

    seed: int
    macro_f1: float
    accuracy: float
    ece_before: float
    ece_after: float
    by_chance: float
    temperature: float
    nll_before: float
    nll_after: float


def split(rows: Rows, size: float) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    most, rest = train_test_split(
        rows, test_size=size, random_state=0, stratify=[row["label"] for row in rows]
    )
    return most, rest


def numbers(rows: Rows, label2id: dict[str, int]) -> list[int]:
    return [label2id[row["label"]] for row in rows]


def texts(rows: Rows) -> list[str]:
    return [row["text"] for row in rows]


def baseline(train: Rows, judged: Rows, names: list[str]) -> dict[str, Any]:
    """What TF-IDF and logistic regression reach on the same rows."""
    from formers.evaluation.baselines import tfidf_baseline

    label2id = {name: i for i, name in enumerate(names)}
    made = tfidf_baseline(
        texts(train), numbers(train, label2id), texts(judged), numbers(judged, label2id), names
    )
    return made.metrics


def fine_tune(seed: int, given: argparse.Namespace, train: Rows, names: list[str], folder: str) -> Any:
    """Train one seed; a pipeline over the model."""
    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        pipeline,
        set_seed,
    )
    from formers.training.data import tokenize_rows

    sys.path.insert(0, str(ROOT / "examples"))
    from minilm import minilm

    label2id = {name: i for i, name in enumerate(names)}
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm(),
        id2label=dict(enumerate(names)),
        label2id=label2id,
        **({} if given.dropout is None else {"classifier_dropout": given.dropout}),
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            num_train_epochs=given.epochs,
            learning_rate=given.learning_rate,
            head_learning_rate=given.head_rate * given.learning_rate,
            lr_scheduler_type=given.schedule,
            per_device_train_batch_size=given.batch_size,
            warmup_ratio=given.warmup,
            weight_decay=given.weight_decay,
            ema_decay=given.ema_decay or None,
            class_weights=None if given.class_weights == "none" else given.class_weights,
            focal_gamma=given.focal_gamma,
            label_smoothing_factor=given.label_smoothing,
            bf16=not given.float32,
            save_strategy="no",
            logging_steps=0.1,
            disable_tqdm=not sys.stderr.isatty(),
            seed=seed,
        ),
        train_dataset=tokenize_rows(train, tokenizer, label2id=label2id, max_length=given.max_length),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    return pipeline("text-classification", model=trainer.model.eval(), tokenizer=tokenizer)


def judge(
    seed: int, given: argparse.Namespace, train: Rows, held: Rows, judged: Rows, names: list[str]
) -> Figures:
    """Train a seed, fit its temperature on `held`, and measure it on `judged`."""
    from formers.evaluation.calibration import fit_temperature
    from formers.evaluation.metrics import classification

    label2id = {name: i for i, name in enumerate(names)}
    with tempfile.TemporaryDirectory() as folder:
        pipe = fine_tune(seed, given, train, names, folder)
    calibration = fit_temperature(pipe.logits(texts(held)), numbers(held, label2id))
    logits, labels = pipe.logits(texts(judged)), numbers(judged, label2id)
    if given.keep:
        import numpy as np

        Path(given.keep).mkdir(parents=True, exist_ok=True)
        np.savez(
            Path(given.keep) / f"seed{seed}.npz",
            held=pipe.logits(texts(held)),
            held_labels=numbers(held, label2id),
            judged=logits,
            judged_labels=labels,
        )
    before = classification(labels, logits, names, from_logits=True)
    after = classification(labels, calibration.apply(logits), names)
    return Figures(
        seed=seed,
        macro_f1=after["macro_f1"],
        accuracy=after["accuracy"],
        ece_before=before["ece"],
        ece_after=after["ece"],
        by_chance=after["ece_by_chance"],
        temperature=calibration.temperature,
        nll_before=before["log_loss"],
        nll_after=after["log_loss"],
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--schedule", default="linear")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps")
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--ema-decay", type=float, default=0.995, help="0 for the last step's weights")
    parser.add_argument("--class-weights", default="sqrt", choices=["none", "sqrt", "balanced"])
    parser.add_argument("--focal-gamma", type=float, default=0.0)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=None, help="before the classifier")
    parser.add_argument(
        "--head-rate", type=float, default=5.0, help="rate of pooler and head over the trunk's"
    )
    parser.add_argument("--max-length", type=int, default=None, help="tokens; all that the model takes")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--validation", type=float, default=0.05, help="held back of the training side")
    parser.add_argument("--choose", action="store_true", help="judge on a part of the training side")
    parser.add_argument("--keep", help="folder to write logits and labels to")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    return parser.parse_args()


def table(found: list[Figures], base: dict[str, Any]) -> list[list[str]]:
    head = ["", "macro-F1", "accuracy", "ECE", "calibrated", "of it chance", "temperature"]
    rows = [["TF-IDF + logistic regression", f"{base['macro_f1']:.3f}", f"{base['accuracy']:.3f}",
             f"{base['ece']:.3f}", "", "", ""]]  # fmt: skip

    def row(name: str, pick: Any) -> list[str]:
        fields = ("macro_f1", "accuracy", "ece_before", "ece_after", "by_chance", "temperature")
        return [name, *(f"{pick(field):.3f}" for field in fields)]

    rows += [row(f"seed {one.seed}", lambda field, one=one: getattr(one, field)) for one in found]
    rows.append(row("mean", lambda field: statistics.fmean(getattr(one, field) for one in found)))
    return [head, *rows]


def main() -> None:
    given = arguments()
    from formers.training.data import label_maps, load_table

    rows = load_table(DATA, text_column="text", label_column="label")
    id2label, _ = label_maps(row["label"] for row in rows)
    names = [id2label[i] for i in range(len(id2label))]
    rest, judged = split(rows, 0.1)
    if given.choose:  # the test part stays unseen: an equal share of the training side takes its place
        rest, judged = split(rest, 1 / 9)
    train, held = split(rest, given.validation)
    base = baseline(rest, judged, names)
    if not given.choose and abs(base["macro_f1"] - BASELINE) > 0.001:
        raise SystemExit(
            f"the baseline reaches {base['macro_f1']:.3f}, not {BASELINE}: is this the same data?"
        )
    print(
        f"{len(train):,} rows to train on, {len(held):,} to calibrate on, {len(judged):,} to judge by",
        flush=True,
    )
    found = []
    for seed in given.seeds:
        found.append(judge(seed, given, train, held, judged, names))
        if given.json:
            print(json.dumps(asdict(found[-1])), flush=True)
    import torch

    import record

    made = table(found, base)
    record.show(made)
    gain = statistics.fmean(one.macro_f1 for one in found) - base["macro_f1"]
    before = statistics.fmean(one.ece_before for one in found)
    after = statistics.fmean(one.ece_after for one in found)
    note = (
        f"{len(train):,} entries to train on, {len(held):,} to calibrate on, {len(judged):,} to judge by. "
        f"Macro-F1 {gain:+.3f} over the baseline; calibration leaves {after / before:.2f} of the error "
        f'("of it chance": the error that perfect scores would have on so few texts). '
        f"{torch.get_num_threads()} threads, {'float32' if given.float32 else 'bfloat16 autocast'}."
    )
    print(note)
    if given.record and given.choose:
        raise SystemExit("--record is for figures of the test part, not for --choose")
    if given.record:
        words = " ".join(word for word in sys.argv[1:])
        record.section("Quality", made, command=f"python benchmarks/quality.py {words}", notes=note)


if __name__ == "__main__":
    main()
