"""Steps per second and peak memory of fine-tuning: formers' Trainer and the reference's, on the same work.

all-MiniLM-L6-v2 with a head of 11 labels learns to sort entries of CPython's changelog: same weights, same
token ids, batches in the same order (both trainers draw it from the seed), same optimizer and schedule, no
dropout, so that the losses of each step can be compared. Each run is a process of its own; contenders take
turns. The first steps are left out of the time. Memory is the peak resident size of the process.

    python benchmarks/training.py [--steps 60] [--batch 32] [--rounds 3] [--threads N] [--record]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import trainers
from trainers import LIBRARIES

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
WARM_UP = 5
PRECISIONS = ("float32", "bfloat16")


def prepare(folder: Path, examples: int) -> int:
    """Write the checkpoint and the tokenized examples; returns their mean length in tokens."""
    sys.path.insert(0, str(ROOT / "examples"))
    import torch

    from formers import AutoModelForSequenceClassification, AutoTokenizer
    from formers.training.data import label_maps, tokenize_rows
    from minilm import minilm

    with gzip.open(TEXTS, "rt", encoding="utf-8", newline="") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), examples)
    id2label, label2id = label_maps(row["label"] for row in rows)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the head is new, which is meant
        model = AutoModelForSequenceClassification.from_pretrained(
            minilm(), id2label=id2label, label2id=label2id
        )
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    data = tokenize_rows(rows, tokenizer, label2id=label2id)
    (folder / "data.json").write_text(json.dumps(data))
    return round(statistics.mean(len(row["input_ids"]) for row in data))


def child(options: argparse.Namespace) -> None:
    """Train once and print what was measured."""
    library = trainers.library_of(options)
    place = str(Path(options.folder) / "model")
    model = library.AutoModelForSequenceClassification.from_pretrained(place, dtype="float32")
    collator = library.DataCollatorWithPadding(library.AutoTokenizer.from_pretrained(place))
    bf16 = options.precision == "bfloat16"
    trainers.fit(options, library, model, collator, WARM_UP, warmup_steps=WARM_UP, bf16=bf16)


def report(
    runs: dict[tuple[str, str], list[Any]], options: argparse.Namespace
) -> tuple[list[tuple[str, ...]], str]:
    """The table, and the ratios in words."""
    table: list[tuple[str, ...]] = [("trainer", "steps/s", "texts/s", "peak memory, MiB", "last loss")]
    for (library, precision), taken in runs.items():
        rate, peak = trainers.medians(taken, options.steps)
        last = f"{taken[0]['losses'][-1]:.4f}"
        figures = (f"{rate:.2f}", f"{rate * options.batch:.0f}", f"{peak / 2**20:.0f}", last)
        table.append((f"{library} {precision}", *figures))
    notes = [
        trainers.compared(precision, *(runs[library, precision] for library in LIBRARIES), options.steps)
        for precision in PRECISIONS
    ]
    return table, "; ".join(notes) + "."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="steps that are timed")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--child", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    runs: dict[tuple[str, str], list[Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        tokens = prepare(Path(name), (options.steps + WARM_UP) * options.batch)
        for turn in range(options.rounds):
            for precision in PRECISIONS:
                for library in LIBRARIES:
                    found = trainers.run(__file__, library, ("precision", precision), Path(name), options)
                    runs.setdefault((library, precision), []).append(found)
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    from record import section, show

    table, notes = report(runs, options)
    notes += f" Batches of {options.batch} texts, {tokens} tokens on average; {options.threads} threads."
    show(table)
    print(notes)
    if options.record:
        chosen = " ".join(f"--{name} {getattr(options, name)}" for name in ("steps", "batch", "rounds"))
        section("Training", table, command=f"python benchmarks/training.py {chosen} --record", notes=notes)


if __name__ == "__main__":
    main()
