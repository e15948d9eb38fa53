"""What benchmarks of trainers share: runs in processes of their own, timed by step, and ratios in words."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

LIBRARIES = ("formers", "reference")
_SAYS = "MEASURED "


def library_of(options: argparse.Namespace) -> Any:
    """In the child: the library that it is to measure, quiet, with the threads that it may use."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(options.threads)
    if options.child == "formers":
        import formers

        return formers
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


def fit(
    options: argparse.Namespace, library: Any, model: Any, collator: Any, warm_up: int, **more: Any
) -> None:
    """In the child: train once on `data.json` of the folder, and print what was measured.

    Args:
        options: `steps` that are timed, `batch`, `folder`.
        library: whose `Trainer` it is.
        model: what is trained.
        collator: makes the batches.
        warm_up: steps before those.
        more: further training arguments.
    """
    data = json.loads((Path(options.folder) / "data.json").read_text())
    stamps: list[float] = []

    class Clock(library.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as output:
        args = library.TrainingArguments(
            output_dir=output,
            max_steps=options.steps + warm_up,
            per_device_train_batch_size=options.batch,
            learning_rate=2e-4,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
            **more,
        )
        trainer = library.Trainer(
            model=model, args=args, train_dataset=data, data_collator=collator, callbacks=[Clock]
        )
        for callback in list(trainer.callback_handler.callbacks):
            if type(callback).__name__ == "PrinterCallback":
                trainer.remove_callback(callback)
        trainer.train()
    measured = {
        "seconds": stamps[-1] - stamps[warm_up - 1],
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(_SAYS + json.dumps(measured))


def run(script: str, library: str, kind: tuple[str, str], folder: Path, options: argparse.Namespace) -> Any:
    """One run in a process of its own: what its `fit` measured.

    Args:
        script: the benchmark's file.
        library: one of `LIBRARIES`.
        kind: an option of the benchmark, and its value in this run.
        folder: with the checkpoint and the examples.
        options: `steps`, `batch`, `threads`.
    """
    words = [sys.executable, script, "--child", library, f"--{kind[0]}", kind[1], "--folder", str(folder)]
    for name in ("steps", "batch", "threads"):
        words += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_SAYS)]
    if done.returncode or not lines:
        raise SystemExit(f"{library} {kind[1]} failed:\n{done.stdout}\n{done.stderr}")
    return json.loads(lines[-1].removeprefix(_SAYS))


def medians(taken: list[Any], steps: int) -> tuple[float, float]:
    """Steps per second and peak memory in bytes, of the runs of one contender."""
    rate = steps / statistics.median(entry["seconds"] for entry in taken)
    return rate, statistics.median(entry["peak"] for entry in taken)


def compared(name: str, ours: list[Any], theirs: list[Any], steps: int) -> str:
    """The ratios of two contenders in words, and how far their losses are apart."""
    (rate, peak), (other_rate, other_peak) = medians(ours, steps), medians(theirs, steps)
    pairs = zip(ours[0]["losses"], theirs[0]["losses"], strict=True)
    return (
        f"{name}: {rate / other_rate:.2f} times the reference's steps per second, "
        f"{peak / other_peak:.2f} of its peak memory, losses of the same step at most "
        f"{max(abs(a - b) for a, b in pairs):.1e} apart"
    )
