"""A run broken off within a window of its second pass, and resumed: are the weights the same bits?

Every kind of training set (map-style, torch's streams, `datasets`' streams, with and without random numbers),
one process and two, read by the process itself, by two workers, and by two that live on. A small classifier
with dropout, float32, on the CPU. Per cell three runs: one undisturbed, one broken off, one that goes on from
the last checkpoint of that.

    python benchmarks/resume_grid.py [--record]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

Row = dict[str, Any]
READERS = {"none": (0, False), "2": (2, False), "2, living on": (2, True)}


def rows(count: int) -> list[Row]:
    draw = random.Random(3)
    lengths = [draw.randrange(3, 12) for _ in range(count)]
    return [
        {"input_ids": [draw.randrange(5, 50) for _ in range(n)], "label": draw.randrange(3)} for n in lengths
    ]


def noisy(row: Row) -> Row:
    keeps = [bool(torch.rand(()) < 0.8) and random.random() < 0.9 for _ in row["input_ids"]]
    return {**row, "input_ids": [x if keep else 3 for x, keep in zip(row["input_ids"], keeps, strict=True)]}


class Stored(Dataset[Row]):
    """Map-style, with tokens replaced at random."""

    def __init__(self, data: list[Row]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Row:
        return noisy(self.data[index])


class Stream(IterableDataset[Row]):
    """Shuffled by epoch, split among the workers."""

    def __init__(self, data: list[Row], change: Callable[[Row], Row] = lambda row: row) -> None:
        self.data, self.change, self.epoch = data, change, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Row]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        order = list(self.data)
        random.Random(self.epoch).shuffle(order)
        return (self.change(row) for row in order[first::step])


def parts_of(parts: list[list[Row]]) -> Iterator[Row]:
    for part in parts:
        yield from part


def hub_stream(data: list[Row]) -> Any:
    import datasets

    made = datasets.IterableDataset.from_generator(parts_of, gen_kwargs={"parts": [data[::2], data[1::2]]})
    return made.shuffle(seed=1, buffer_size=6)


KINDS: dict[str, Callable[[list[Row]], Any]] = {
    "map-style": lambda data: data,
    "map-style, draws": Stored,
    "stream": Stream,
    "stream, draws": lambda data: Stream(data, noisy),
    "datasets' stream, shuffled": hub_stream,
}


def fit(
    folder: Path, data: Any, workers: tuple[int, bool], at: int | None, resume: bool
) -> list[torch.Tensor]:
    """Train for three passes, or up to the window after step `at`; returns the weights."""
    from formers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )
    from formers.training import DataCollatorWithPadding

    class Pads:
        pad_token_id, padding_side, model_input_names = 0, "right", ("input_ids", "attention_mask")

    class Break(TrainerCallback):
        def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == at:
                raise KeyboardInterrupt

    set_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=3, **sizes))
    args = TrainingArguments(
        str(folder),
        max_steps=21,
        save_steps=5,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        dataloader_num_workers=workers[0],
        dataloader_persistent_workers=workers[1],
        disable_tqdm=True,
        use_cpu=True,
        report_to="none",
    )
    trainer = Trainer(model, args, DataCollatorWithPadding(Pads()), train_dataset=data, callbacks=[Break()])
    with contextlib.suppress(KeyboardInterrupt):
        trainer.train(resume_from_checkpoint=resume or None)
    return [weight.clone() for weight in model.state_dict().values()]


def cells(base: Path) -> None:
    """Run all cells in this process, one of those that torchrun started or the only one."""
    import warnings

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    processes, first = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("RANK", "0") == "0"
    data = rows(26 * processes)
    for kind, make in KINDS.items():
        for reader, workers in READERS.items():
            folder = base / f"{processes} {kind} {reader}".replace(" ", "-")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                whole = fit(folder / "whole", make(data), workers, None, False)
                broken = fit(folder / "broken", make(data), workers, 12, False)
                resumed = fit(folder / "broken", make(data), workers, None, True)
            same = sum(map(torch.equal, whole, resumed))
            cut = not all(map(torch.equal, whole, broken))
            if first:
                print(json.dumps([kind, str(processes), reader, same, len(whole), cut]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--cells", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cells:
        cells(Path(options.cells))
        return
    table = [("training set", "processes", "workers of each", "tensors that are bit-identical")]
    shown = True
    with tempfile.TemporaryDirectory() as base:
        alone = [sys.executable, __file__, "--cells", base]
        two = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *alone[1:]]
        for command in (alone, [sys.executable, *two]):
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            for line in done.stdout.splitlines():
                if line.startswith("["):
                    kind, processes, reader, same, count, cut = json.loads(line)
                    table.append((kind, processes, reader, f"{same} of {count}"))
                    shown = shown and same == count and cut
    from record import section, show

    show(table)
    if options.record:
        notes = (
            "BERT of one layer with dropout 0.1, float32; batches of 2, accumulation 2, seven steps a pass, "
            "the last of one batch alone. Broken off between the two batches of step 13, in the second pass; "
            "resumed from the checkpoint at step 10. Streams shuffle by epoch; those that draw replace "
            "tokens by random numbers of torch and of Python."
        )
        section(
            "Resume of every kind of training set",
            table,
            command="python benchmarks/resume_grid.py --record",
            notes=notes,
        )
    if not shown or len(table) != 1 + 2 * len(KINDS) * len(READERS):
        raise SystemExit("not shown: see above")


if __name__ == "__main__":
    main()
