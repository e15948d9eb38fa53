"""Training over several processes beside one: weights at the end, ranks that are killed, shards that move.

The small classifier of `tests/system/training_job.py`, eight steps of eight rows. Each run ends with whole
weights, which are compared with those of one process. Ranks are killed (SIGKILL) in the middle of a step;
torchrun starts them all again, and they go on from the last checkpoint. Shards that four processes wrote are
read by two and by one.

    python benchmarks/processes.py [--record]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import record

ROOT = Path(__file__).resolve().parent.parent
JOB = ROOT / "tests" / "system" / "training_job.py"
COMMON = ("max_steps=8", "save_steps=2", "logging_steps=2", "gradient_accumulation_steps=2")
KILLED = (1, 3, 5)  # steps in which a rank dies, one in each start
MOVED = "checkpoint-4"


def trained(folder: Path, name: str, processes: int, *options: str, restarts: int = 0) -> tuple[Path, str]:
    """One run; the file of its results, and what it printed.

    Raises:
        SystemExit: where it fails.
    """
    result = folder / f"{name}.pt"
    launch = ["-m", "torch.distributed.run", "--standalone", f"--max-restarts={restarts}"]
    launch = [*launch, f"--nproc-per-node={processes}"] if processes > 1 else []
    share = f"per_device_train_batch_size={8 // processes}"
    command = [sys.executable, *launch, str(JOB), str(folder / name), str(result), *COMMON, share, *options]
    # in a store that is shared with the processes that died, gloo waits for these
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return result, done.stdout


def apart(one: Path, other: Path) -> tuple[float, float]:
    """The largest difference of a weight, and of a logged loss."""
    expected, found = (torch.load(file, weights_only=True) for file in (one, other))
    if expected["weights"].keys() != found["weights"].keys() or expected["steps"] != found["steps"]:
        raise SystemExit(f"{other} holds other weights, or ended at another step")
    far = [(value - found["weights"][name]).abs().max() for name, value in expected["weights"].items()]
    losses = zip(expected["losses"], found["losses"], strict=True)
    return float(max(far)), max(abs(a - b) for a, b in losses)


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    table = [["run", "processes", "killed", "weights apart", "losses apart", "s"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, _ = trained(folder, "one", 1)

        def row(title: str, processes: int, *given: str, restarts: int = 0) -> None:
            at = time.perf_counter()
            name = title.replace(" ", "-").replace(",", "")
            file, said = trained(folder, name, processes, *given, restarts=restarts)
            weights, losses = apart(one, file)
            killed, taken = said.count("killed in step"), time.perf_counter() - at
            cells = [f"{killed}", f"{weights:.1e}", f"{losses:.1e}", f"{taken:.0f}"]
            table.append([title, str(processes), *cells])
            print(*table[-1], sep="  ", flush=True)

        die, sharded = f"die={list(KILLED)}", "fsdp=true"
        row("DDP", 2)
        row("DDP, four", 4)
        row("FSDP2", 2, sharded)
        row("FSDP2, four", 4, sharded)
        row("DDP, killed", 2, "resume=true", die, restarts=4)
        row("FSDP2, killed", 2, sharded, "resume=true", die, restarts=4)
        written = f'resume="{folder / "FSDP2-four" / MOVED}"'
        row("shards of four on two", 2, sharded, written)
        row("shards of four on one", 1, written)
    record.show(table)
    if options.record:
        notes = f"A rank is killed in steps {', '.join(str(step + 1) for step in KILLED)}; gloo, on CPUs."
        record.section(
            "Several processes", table, command="python benchmarks/processes.py --record", notes=notes
        )


if __name__ == "__main__":
    main()
