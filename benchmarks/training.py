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
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
WARM_UP = 5
PRECISIONS = ("float32", "bfloat16")
LIBRARIES = ("formers", "reference")


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
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(options.threads)
    if options.child == "formers":
        import formers as library
    else:
        import transformers as library

        library.logging.set_verbosity_error()
    folder = Path(options.folder)
    model = library.AutoModelForSequenceClassification.from_pretrained(str(folder / "model"), dtype="float32")
    tokenizer = library.AutoTokenizer.from_pretrained(str(folder / "model"))
    data = json.loads((folder / "data.json").read_text())
    stamps: list[float] = []

    class Clock(library.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as output:
        args = library.TrainingArguments(
            output_dir=output,
            max_steps=options.steps + WARM_UP,
            per_device_train_batch_size=options.batch,
            learning_rate=2e-4,
            warmup_steps=WARM_UP,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=options.precision == "bfloat16",
            seed=0,
        )
        trainer = library.Trainer(
            model=model,
            args=args,
            train_dataset=data,
            data_collator=library.DataCollatorWithPadding(tokenizer),
            callbacks=[Clock],
        )
        for printing in ("PrinterCallback",):
            for callback in list(trainer.callback_handler.callbacks):
                if type(callback).__name__ == printing:
                    trainer.remove_callback(callback)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    measured = {
        "seconds": stamps[-1] - stamps[WARM_UP - 1],
        "losses": losses,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print("MEASURED " + json.dumps(measured))


def run(library: str, precision: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own."""
    words = [sys.executable, __file__, "--child", library, "--precision", precision, "--folder", str(folder)]
    for name in ("steps", "batch", "threads"):
        words += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED ")]
    if done.returncode or not lines:
        raise SystemExit(f"{library} {precision} failed:\n{done.stdout}\n{done.stderr}")
    measured: dict[str, Any] = json.loads(lines[-1].removeprefix("MEASURED "))
    return measured


def report(
    runs: dict[tuple[str, str], list[dict[str, Any]]], options: argparse.Namespace
) -> tuple[list, str]:
    """The table, and the ratios in words."""
    table: list[tuple[str, ...]] = [("trainer", "steps/s", "texts/s", "peak memory, MiB", "last loss")]
    rate, peak = {}, {}
    for key, taken in runs.items():
        rate[key] = options.steps / statistics.median(entry["seconds"] for entry in taken)
        peak[key] = statistics.median(entry["peak"] for entry in taken)
        library, precision = key
        table.append(
            (
                f"{library} {precision}",
                f"{rate[key]:.2f}",
                f"{rate[key] * options.batch:.0f}",
                f"{peak[key] / 2**20:.0f}",
                f"{taken[0]['losses'][-1]:.4f}",
            )
        )
    notes = []
    for precision in PRECISIONS:
        ours, theirs = ("formers", precision), ("reference", precision)
        pairs = zip(runs[ours][0]["losses"], runs[theirs][0]["losses"], strict=True)
        apart = max(abs(a - b) for a, b in pairs)
        notes.append(
            f"{precision}: {rate[ours] / rate[theirs]:.2f} times the reference's steps per second, "
            f"{peak[ours] / peak[theirs]:.2f} of its peak memory, losses of the same step at most "
            f"{apart:.1e} apart"
        )
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
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        tokens = prepare(Path(name), (options.steps + WARM_UP) * options.batch)
        for turn in range(options.rounds):
            for precision in PRECISIONS:
                for library in LIBRARIES:
                    runs.setdefault((library, precision), []).append(
                        run(library, precision, Path(name), options)
                    )
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
