"""Blocks answered by a cluster: Ray Data shares them out over workers, and gives back those of dead ones.

Rows never pass through the cluster's memory: what travels is where a block lies, and a receipt.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from formers.core.cluster import connected
from formers.core.extras import need
from formers.core.notices import Notice, notice
from formers.jobs.mapping.answering import Answerer, Receipt, Work
from formers.jobs.mapping.folder import Folder
from formers.jobs.mapping.inputs import Block

# how often a worker may die over one block: more is no accident
_DEATHS = 10
# what errors of workers are, where they are raised again
_KINDS = {one.__name__: one for one in (OSError, ValueError, TypeError, MemoryError)}
_PIECES = 200  # tasks that blocks are shared out in, at least; 8 for each worker where those are more


class Worker:
    """An `Answerer` as Ray Data makes one in each process.

    What it raises travels as a value: Ray tells of an exception by its own, and of one in a constructor by a
    death. So the model is loaded when the first block comes.
    """

    def __init__(self, work: Work, threads: int) -> None:
        import torch

        os.environ["RAYON_NUM_THREADS"] = str(threads)  # read when the first text is tokenized
        torch.set_num_threads(threads)
        self._work, self._folder = work, Folder(Path(work.folder))

    @cached_property
    def _answerer(self) -> Answerer:
        return Answerer(self._work)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the blocks of a batch, whose only column has each as JSON.

        Returns:
            "receipt": for each, as JSON, what became of it and the notices that were given meanwhile.
        """
        found = []
        for text in batch["block"]:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", Notice)
                became = self._receipt(*json.loads(str(text)))
            notices = [str(one.message) for one in said if issubclass(one.category, Notice)]
            found.append(json.dumps([became, notices]))
        return {"receipt": found}

    def _receipt(self, places: list[int], files: list[str]) -> Any:
        """A receipt as a dict, None for a block that was there, or (kind, text) of what was raised."""
        block = Block(*places)
        try:
            self._folder.begin(block, _DEATHS)
            receipt = self._answerer.answer(block, files)
        except Exception as error:  # told to the driver, which raises it there
            kind = next((name for name, one in _KINDS.items() if isinstance(error, one)), "")
            return [kind, str(error) if kind else f"{type(error).__name__}: {error}"]
        finally:
            self._folder.end(block)
        return None if receipt is None else asdict(receipt)


def on_cluster(
    work: Work, tasks: list[tuple[Block, list[str]]], address: str, workers: int | None
) -> Iterator[Receipt]:
    """Answer blocks on the workers of a cluster; receipts come as blocks are done, in any order.

    Args:
        work: what workers must know.
        tasks: blocks with their files.
        address: "local" for a cluster of processes that ends with the work; else as `ray.init` takes it. One
            that this process is already connected to is used, and left.
        workers: how many; as many as there are processors, or GPUs, unless given.

    Raises:
        MissingExtra: without Ray.
        RuntimeError: where workers died again and again over a block.
        Exception: what a worker raised: a RuntimeError, where it is no usual refusal.
    """
    ray, data = need("ray", "ray", "work on a cluster"), need("ray.data", "ray", "work on a cluster")
    with _connected(ray, address, workers):
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0)) if str(work.options.get("device", "cuda")).startswith("cuda") else 0
        count = min(workers or gpus or int(there.get("CPU", 1)), len(tasks))
        texts = [{"block": json.dumps([list(asdict(block).values()), files])} for block, files in tasks]
        pieces = min(len(texts), max(_PIECES, 8 * count))
        answered = data.from_items(texts, override_num_blocks=pieces).map_batches(
            Worker,
            fn_constructor_args=(work, 1),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=count),
            num_cpus=1,
            **({"num_gpus": 1} if gpus else {}),
        )
        for row in answered.iter_rows():
            receipt, notices = json.loads(row["receipt"])
            for text in notices:  # workers have no screen; each is said once
                notice(text)
            if isinstance(receipt, list):
                raise _KINDS.get(receipt[0], RuntimeError)(receipt[1])
            if receipt is not None:
                yield Receipt(**receipt)


@contextmanager
def _connected(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """A connection to a cluster, without Ray's progress bars on the screen."""
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    shown, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        with connected(ray, address, workers or 1):
            yield
    finally:
        context.enable_progress_bars = shown
        log.setLevel(level)
