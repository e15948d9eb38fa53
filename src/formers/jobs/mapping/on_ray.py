"""Blocks answered by a cluster: Ray Data shares them out over workers, and gives back those of dead ones.

Rows never pass through the cluster's memory: what travels is where a block lies, and a receipt.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from formers.core.extras import need
from formers.jobs.mapping.answering import Answerer, Receipt, Work
from formers.jobs.mapping.folder import Folder
from formers.jobs.mapping.inputs import Block

# how often a worker may die over one block: more is no accident
_DEATHS = 10
_PIECES = 200  # tasks that blocks are shared out in, at least; 8 for each worker where those are more


class Worker:
    """An `Answerer` as Ray Data makes one in each process."""

    def __init__(self, work: Work, threads: int) -> None:
        import torch

        os.environ["RAYON_NUM_THREADS"] = str(threads)  # read when the first text is tokenized
        torch.set_num_threads(threads)
        self._answerer, self._folder = Answerer(work), Folder(Path(work.folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the blocks of a batch, whose only column has each as JSON; one receipt each."""
        found = []
        for text in batch["block"]:
            places, files = json.loads(str(text))
            block = Block(*places)
            self._folder.begin(block, _DEATHS)
            receipt = self._answerer.answer(block, files)
            self._folder.end(block)
            found.append(json.dumps(None if receipt is None else asdict(receipt)))
        return {"receipt": found}


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
        RuntimeError: where workers died again and again.
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
        try:
            for row in answered.iter_rows():
                if (receipt := json.loads(row["receipt"])) is not None:
                    yield Receipt(**receipt)
        except ray.exceptions.RayTaskError as error:
            raise _own(error) from error


def _own(error: BaseException) -> BaseException:
    """What the worker raised, without what Ray put around it."""
    cause = getattr(error, "cause", None) or error.__cause__
    while cause is not None and type(cause).__module__.startswith("ray."):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause if isinstance(cause, Exception) else error


@contextmanager
def _connected(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """A connection to a cluster, without Ray's progress bars on the screen."""
    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": max(workers or 1, os.cpu_count() or 1), "include_dashboard": False}
        ray.init(address, log_to_driver=False, logging_level="error", **(local if address == "local" else {}))
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    shown, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = shown
        log.setLevel(level)
        if ours:
            ray.shutdown()
