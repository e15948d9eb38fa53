"""Another commit beside this one: encoder, training, loading and import, in the same run.

Each side has a process of its own whose sources come first on its path; the two take turns, and
the median ratio of neighbouring rounds is given: below 1 this commit is the faster one. The work:
all-MiniLM-L6-v2 with a head of 11 labels over entries of CPython's changelog through the pipeline; one text
at a time; steps of training on batches of 32; loading its checkpoint; importing a training script's names.

    git worktree add ../other COMMIT
    python benchmarks/commits.py --other ../other [--texts 500] [--rounds 7] [--threads N] [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from encoder_speed import ROOT, read_texts, write_checkpoint

WORKER = r"""
import json, sys, time, warnings
warnings.simplefilter("ignore")
folder, threads, texts = sys.argv[1], int(sys.argv[2]), json.load(open(sys.argv[3]))
import torch
torch.set_num_threads(threads)
import formers

pipe = formers.pipeline("text-classification", model=folder, device="cpu")
model = formers.AutoModelForSequenceClassification.from_pretrained(folder).train()
tokenizer = formers.AutoTokenizer.from_pretrained(folder)
batches = [
    tokenizer(texts[i : i + 32], padding=True, truncation=True, max_length=128, return_tensors="pt")
    for i in range(0, 128, 32)
]
labels = torch.zeros(32, dtype=torch.long)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

def encode():
    pipe(texts)

def single():
    for text in texts[:40]:
        pipe(text)

def train():
    for batch in batches:
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

def load():
    for _ in range(5):
        formers.AutoModelForSequenceClassification.from_pretrained(folder)

jobs = {"encoder": encode, "one text": single, "training": train, "loading": load}
for job in jobs.values():
    job()
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    jobs[line.strip()]()
    print(time.perf_counter() - start, flush=True)
"""
NAMES = ("AutoModelForSequenceClassification", "AutoTokenizer", "Trainer", "TrainingArguments", "pipeline")
IMPORTS = f"from formers import {', '.join(NAMES)}"


def environment(tree: Path, bytecode: str) -> dict[str, str]:
    """The surroundings of a process that takes its sources from `tree`.

    It keeps bytecode in the folder, as an installed package has it: nobody's import compiles.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {"PYTHONPATH": str(tree / "src"), "PYTHONPYCACHEPREFIX": bytecode, "TOKENIZERS_PARALLELISM": "true"}
    return {**kept, **own}


class Side:
    """One commit in a process of its own."""

    def __init__(self, tree: Path, arguments: list[str]) -> None:
        self.environment = environment(tree, arguments[0] + "/bytecode")
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, job: str | None) -> float:
        """Seconds of one run; None waits until it is ready."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if job is not None:
            self.process.stdin.write(job + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        return 0.0 if job is None else float(answer)

    def imports(self) -> float:
        """Seconds that a fresh process takes to import a training script's names, torch left out."""
        code = f"import torch, time; t = time.perf_counter(); {IMPORTS}; print(time.perf_counter() - t)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=Path, required=True, help="a checkout of the other commit")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None, help="threads of each side (all cores)")
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    args = parser.parse_args()
    threads = args.threads or len(os.sched_getaffinity(0))
    other = args.other.resolve()
    named = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=other, capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder)
        texts = Path(folder) / "texts.json"
        texts.write_text(json.dumps(read_texts(args.texts)))
        sides = [Side(tree, [folder, str(threads), str(texts)]) for tree in (ROOT, other)]
        for side in sides:
            side.ask(None)
            side.imports()
        table = [("work", "this commit, s", f"{named}, s", "ratio")]
        for job in ("encoder", "one text", "training", "loading", "import"):
            taken: tuple[list[float], list[float]] = ([], [])
            for turn in range(args.rounds):
                for at in (0, 1) if turn % 2 else (1, 0):
                    side = sides[at]
                    taken[at].append(side.imports() if job == "import" else side.ask(job))
            ratio = statistics.median(a / b for a, b in zip(*taken, strict=True))
            table.append((job, *(f"{statistics.median(t):.3f}" for t in taken), f"{ratio:.3f}"))
            print(job, f"{ratio:.3f}", file=sys.stderr)
        for side in sides:
            side.process.kill()
    from record import section, show

    show(table)
    if args.record:
        section(
            "This commit beside an earlier one",
            table,
            command="python benchmarks/commits.py --other CHECKOUT --record",
            notes=f"Median of {args.rounds} ratios of neighbouring rounds; below 1 this commit is faster. "
            f"{args.texts} texts, {threads} threads.",
        )


if __name__ == "__main__":
    main()
