"""A training process killed with SIGKILL at random moments, resumed each time: are the weights the same bits?

all-MiniLM-L6-v2 learns to sort entries of CPython's changelog, in float32 with dropout and gradient
accumulation, with a checkpoint every few steps. One process runs undisturbed. Another is killed at a
random moment, started again with `resume_from_checkpoint`, killed again, and so on; the last start runs to
the end. Then all weights, and the mean loss, are compared bit for bit.

    python benchmarks/resume.py [--kills 10] [--steps 200] [--save-steps 4] [--seed 0] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 8
ACCUMULATION = 2


def child(options: argparse.Namespace) -> None:
    """Train from the newest checkpoint, if there is one, to the end; write the weights."""
    import warnings

    warnings.simplefilter("ignore")
    import torch

    from formers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
        set_seed,
    )
    from formers.training import DataCollatorWithPadding, get_last_checkpoint

    torch.set_num_threads(options.threads)
    folder, output = Path(options.folder), Path(options.output)
    set_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        str(folder / "model"), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1
    )
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "model"))
    args = TrainingArguments(
        output_dir=str(output),
        max_steps=options.steps,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATION,
        learning_rate=2e-4,
        warmup_steps=0.1,
        logging_steps=5,
        save_steps=options.save_steps,
        save_total_limit=2,
        disable_tqdm=True,
        use_cpu=True,
    )
    data = json.loads((folder / "data.json").read_text())
    trainer = Trainer(model, args, DataCollatorWithPadding(tokenizer), train_dataset=data)
    last = get_last_checkpoint(output)
    print(f"STARTS {Path(last).name if last else 'from nothing'}", flush=True)
    result = trainer.train(resume_from_checkpoint=last)
    torch.save({"weights": model.state_dict(), "loss": result.training_loss}, options.result)


def start(folder: Path, output: Path, result: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    words = [
        sys.executable,
        __file__,
        "--folder",
        str(folder),
        "--output",
        str(output),
        "--result",
        str(result),
    ]
    for name in ("steps", "save-steps", "threads"):
        words += [f"--{name}", str(getattr(options, name.replace("-", "_")))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run_to_the_end(folder: Path, output: Path, result: Path, options: argparse.Namespace) -> float:
    """Seconds of a run that nobody kills."""
    began = time.monotonic()
    process = start(folder, output, result, options)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    return time.monotonic() - began


def kill_and_resume(
    folder: Path, output: Path, result: Path, whole: float, options: argparse.Namespace
) -> list[str]:
    """Kill `options.kills` times, each at a moment drawn at random; returns what each start said."""
    draw = random.Random(options.seed)
    told = []
    # long enough for work to be done between kills, short enough for the kills to fall within the run
    longest = 1.2 * whole / (options.kills + 1) + 8.0
    while len(told) < options.kills:
        process = start(folder, output, result, options)
        pause = draw.uniform(1.0, longest)
        try:
            process.wait(timeout=pause)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        if process.returncode == 0:
            print(f"the run was over before kill {len(told) + 1}: raise --steps", file=sys.stderr)
            return told
        partial = [entry.name for entry in output.glob(".checkpoint-*")] if output.is_dir() else []
        began = next(
            (line for line in said.splitlines() if line.startswith("STARTS")), "STARTS (not reached)"
        )
        told.append(f"{began.removeprefix('STARTS ')}, killed after {pause:.1f} s")
        print(f"kill {len(told)}: started at {told[-1]}, half-written: {partial or 'none'}", file=sys.stderr)
    run_to_the_end(folder, output, result, options)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--save-steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    for name in ("folder", "output", "result"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        child(options)
        return
    import torch

    from training import prepare

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, 300)
        whole = run_to_the_end(folder, folder / "whole", folder / "whole.pt", options)
        told = kill_and_resume(folder, folder / "killed", folder / "killed.pt", whole, options)
        one, other = (torch.load(folder / name, weights_only=True) for name in ("whole.pt", "killed.pt"))
    equal = sum(torch.equal(one["weights"][key], other["weights"][key]) for key in one["weights"])
    same_loss = one["loss"] == other["loss"]
    table = [
        ("", "result"),
        ("kills", str(len(told))),
        ("tensors that are bit-identical", f"{equal} of {len(one['weights'])}"),
        ("mean loss of the run", f"{'identical' if same_loss else 'differs'} ({one['loss']:.6f})"),
        ("undisturbed run", f"{whole:.0f} s"),
    ]
    notes = (
        f"{options.steps} steps of {BATCH} x {ACCUMULATION} texts, dropout 0.1, float32, a checkpoint every "
        f"{options.save_steps} steps; {options.threads} threads."
    )
    from record import section, show

    show(table)
    if options.record:
        command = f"python benchmarks/resume.py --kills {options.kills} --steps {options.steps} --record"
        section("Resume after SIGKILL", table, command=command, notes=notes)
    if equal != len(one["weights"]) or not same_loss or len(told) < options.kills:
        raise SystemExit("not shown: see above")


if __name__ == "__main__":
    main()
