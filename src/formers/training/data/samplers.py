"""Which example comes when: the order of an epoch from a seed, cut into the shares of each process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, Sampler, get_worker_info

from formers.training.seeds import set_seed


def shuffled(count: int, seed: int) -> list[int]:
    """A permutation of `range(count)` that depends on the seed alone."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def grouped_by_length(
    lengths: Sequence[int], batch_size: int, seed: int, chunk: int | None = None
) -> list[int]:
    """A random order in which neighbours are of like length.

    Shuffled, cut into chunks of many batches, each sorted by length; the batch with the longest example
    comes first, so that a run that does not fit in memory fails at once.

    Args:
        lengths: length of each example.
        batch_size: examples per optimizer step.
        seed: of the shuffle.
        chunk: batches per chunk; at most 50, fewer for a small set.
    """
    chunk = chunk or max(1, min(50, len(lengths) // (batch_size * 4)))
    order = shuffled(len(lengths), seed)
    size = chunk * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        part = sorted(order[start : start + size], key=lambda index: -lengths[index])
        batches.extend(part[at : at + batch_size] for at in range(0, len(part), batch_size))
    if batches:
        longest = max(range(len(batches)), key=lambda index: max(lengths[i] for i in batches[index]))
        batches[0], batches[longest] = batches[longest], batches[0]
        short = [batch for batch in batches if len(batch) < batch_size]
        batches = [batch for batch in batches if len(batch) == batch_size] + short
    return [index for batch in batches for index in batch]


def rebalanced(order: Sequence[int], lengths: Sequence[int], group: int, shares: int) -> list[int]:
    """Reorder each group of examples so that its `shares` equal parts hold about as many tokens.

    Longest first, each to the part that has the fewest tokens and still has room.
    """
    result: list[int] = []
    for start in range(0, len(order), group):
        part = list(order[start : start + group])
        room = math.ceil(len(part) / shares)
        bins: list[list[int]] = [[] for _ in range(shares)]
        loads = [0] * shares
        for index in sorted(part, key=lambda i: -lengths[i]):
            target = min((s for s in range(shares) if len(bins[s]) < room), key=lambda s: loads[s])
            bins[target].append(index)
            loads[target] += lengths[index]
        # every part but the last must be full, for the cut by position to find it
        bins.sort(key=len, reverse=True)
        result.extend(index for part_ in bins for index in part_)
    return result


def share_of(count: int, process: int, processes: int, full: int) -> tuple[int, int]:
    """First and last position (past the end) of this process's part of a global batch of `count` examples.

    Parts are of `full` examples where the batch is whole; a rest is spread as evenly as it goes.
    """
    if count == full * processes:
        return process * full, (process + 1) * full
    base, extra = divmod(count, processes)
    start = process * base + min(process, extra)
    return start, start + base + (process < extra)


def shared_epoch() -> Tensor:
    """The number of an epoch that workers see change, also those that live on."""
    epoch = torch.zeros((), dtype=torch.int64)
    return epoch.share_memory_()  # type: ignore[no-any-return, no-untyped-call]  # torch states no types here


class EpochOrder(Sampler[int]):
    """The order of the examples in each epoch: a function of (seed, epoch) alone.

    Not of the global generator, of workers or of where the run was interrupted.

    Args:
        count: number of examples.
        seed: of the shuffles.
        strategy: one of `SamplingStrategy`.
        lengths: of the examples, for the strategies that look at them.
        window: examples of one optimizer step, over all processes.
        shares: parts of a window that "batch_rebalance" evens out.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        strategy: str = "random",
        lengths: Sequence[int] | None = None,
        window: int = 1,
        shares: int = 1,
    ) -> None:
        self.count, self.seed, self.epoch = count, seed, 0
        self.strategy, self.lengths = strategy, lengths or []
        self.window, self.shares = window, shares

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        seed = self.seed + self.epoch
        if self.strategy == "sequential":
            return iter(range(self.count))
        if self.strategy == "group_by_length":
            return iter(grouped_by_length(self.lengths, self.window, seed))
        order = shuffled(self.count, seed)
        if self.strategy == "batch_rebalance":
            return iter(rebalanced(order, self.lengths, self.window, self.shares))
        return iter(order)


class TrainBatches(Sampler[list[int]]):
    """Batches of indices of one process for each epoch, from a position on.

    All processes cut the same order into the same global batches and take their parts.

    Args:
        sampler: the order of the examples.
        batch_size: examples of one process.
        process: number of this process.
        processes: how many there are.
        drop_last: leave out a last batch that is not whole.
        agree: given an order, returns that of the first process; for orders that may differ.

    Attributes:
        skip: how many batches of the next epoch are passed over, at no cost.
    """

    def __init__(
        self,
        sampler: Any,
        batch_size: int,
        *,
        process: int = 0,
        processes: int = 1,
        drop_last: bool = False,
        agree: Callable[[list[int]], list[int]] | None = None,
    ) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self.process, self.processes = process, processes
        self.drop_last, self.agree = drop_last, agree
        self.skip = 0

    @property
    def global_size(self) -> int:
        """Examples of one step over all processes."""
        return self.batch_size * self.processes

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        count = len(self.sampler)
        return count // self.global_size if self.drop_last else math.ceil(count / self.global_size)

    def real_items(self, step: int) -> int:
        """How many examples of batch `step` of an epoch are this process's; 0 where it got a stand-in."""
        count = min(self.global_size, len(self.sampler) - step * self.global_size)
        start, end = share_of(count, self.process, self.processes, self.batch_size)
        return end - start

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)  # at once: a sampler may draw from the run's own generator
        return self._cut(order if self.agree is None else self.agree(order))

    def _cut(self, order: list[int]) -> Iterator[list[int]]:
        for step in range(self.skip, len(self)):
            whole = order[step * self.global_size : (step + 1) * self.global_size]
            start, end = share_of(len(whole), self.process, self.processes, self.batch_size)
            # a process without examples still takes part in the exchange of gradients: it gets a stand-in
            yield whole[start:end] or whole[:1]


class EvalBatches(Sampler[list[int]]):
    """Batches of indices for evaluation: of like lengths where those are known, else in order.

    Args:
        order: the examples to judge, as indices; results come back in this order.
        batch_size: most examples of a batch.
        lengths: of each of them.
        process: number of this process.
        processes: how many there are.

    Attributes:
        places: for each batch of this process, where its rows belong among the results.
        in_order: whether the places are 0, 1, 2, ...
    """

    def __init__(
        self,
        order: Sequence[int],
        batch_size: int,
        *,
        lengths: Sequence[int] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        places = list(range(len(order)))
        if lengths is not None:  # the longest first, so that memory peaks at once
            places.sort(key=lengths.__getitem__, reverse=True)
        batches = [places[at : at + batch_size] for at in range(0, len(places), batch_size)]
        self.order = order
        self.places = batches[process::processes]
        self.in_order = lengths is None and processes == 1

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[list[int]]:
        return ([self.order[place] for place in batch] for batch in self.places)


class StreamShare(IterableDataset[Any]):
    """The part of a stream that one process sees: its slice of every global batch.

    Args:
        dataset: the stream, which all processes go through.
        batch_size: examples of one process.
        process: number of this process.
        processes: how many there are.
        seed: for training: of the random numbers of workers, with the epoch, as the same for all processes.
            A rest with fewer examples than processes is then dropped, since each must have something at
            each step. None for evaluation, where all of them are judged.

    Attributes:
        epoch: which pass comes next; the stream is told where it asks.
    """

    def __init__(
        self, dataset: Any, batch_size: int, process: int, processes: int, seed: int | None = None
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.process, self.processes, self.seed = process, processes, seed
        self.epoch = shared_epoch()

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size * self.processes)
        start, end = self._part(rest)
        return whole * self.batch_size + end - start

    def _part(self, count: int) -> tuple[int, int]:
        """First and last position (past the end) of this process's part of `count` examples."""
        if self.seed is None:
            start = min(self.process * self.batch_size, count)
            return start, min(start + self.batch_size, count)
        if count < self.processes:
            return 0, 0
        return share_of(count, self.process, self.processes, self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        if self.seed is not None:
            if worker is not None:
                set_seed(hash((self.seed, int(self.epoch), worker.id)) % 2**32)
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(int(self.epoch))
        items, size = iter(self.dataset), self.batch_size * self.processes
        while whole := list(islice(items, size)):
            start, end = self._part(len(whole))
            yield from whole[start:end]
