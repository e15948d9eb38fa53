"""Loaders of batches for training and evaluation, each process its share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader

from formers.core.extras import need
from formers.core.notices import notice
from formers.training.choices import SamplingStrategy
from formers.training.data.collators import DataCollatorWithPadding, default_data_collator
from formers.training.data.columns import columns_of, is_hub_dataset, is_stream, lengths_of
from formers.training.data.samplers import EpochOrder, EvalBatches, StreamShare, TrainBatches, shared_epoch
from formers.training.seeds import set_seed

Collator = Callable[[list[Any]], Any]


class Reproducible:
    """A dataset whose examples in worker processes draw the same random numbers however work is spread.

    Each batch starts its generators from (seed, epoch, its indices), so that augmentation and random
    collators do not depend on the number of workers, nor on where a run was resumed. In the main process the
    generators of the run serve, whose states are part of every checkpoint.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.epoch = shared_epoch()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        if torch.utils.data.get_worker_info() is not None:
            set_seed(hash((self.seed, int(self.epoch), tuple(indices))) % 2**32)
        fetch = getattr(self.dataset, "__getitems__", None)
        items: list[Any] = fetch(indices) if fetch is not None else [self.dataset[index] for index in indices]
        return items


def default_collator(processing_class: Any) -> Collator:
    """Pads with the tokenizer (or feature extractor) where there is one, else stacks."""
    if hasattr(processing_class, "pad") or hasattr(processing_class, "pad_token_id"):
        return DataCollatorWithPadding(processing_class)
    return default_data_collator


def data_seed(args: Any) -> int:
    """The seed of the order of examples."""
    return int(args.seed if args.data_seed is None else args.data_seed)


def _options(trainer: Any) -> dict[str, Any]:
    args = trainer.args
    options: dict[str, Any] = {
        "num_workers": args.dataloader_num_workers,
        "pin_memory": args.dataloader_pin_memory and trainer.accelerator.device.type == "cuda",
        "persistent_workers": args.dataloader_persistent_workers,
    }
    if args.dataloader_num_workers:
        options["prefetch_factor"] = args.dataloader_prefetch_factor
        options["multiprocessing_context"] = args.dataloader_multiprocessing_context
        if not args.dataloader_in_order:
            options["in_order"] = False
    return options


def _per_process(trainer: Any, batch_size: int) -> int:
    """Examples per process: `split_batches` reads the batch size as that of all processes together."""
    processes = int(trainer.accelerator.num_processes)
    if not trainer.loader_config["split_batches"]:
        return batch_size
    if batch_size % processes:
        raise ValueError(
            f"split_batches=True: the batch size {batch_size} must be a multiple of the {processes} processes"
        )
    return batch_size // processes


def _processes(trainer: Any) -> dict[str, int]:
    accelerator = trainer.accelerator
    return {"process": accelerator.process_index, "processes": accelerator.num_processes}


def _lengths(trainer: Any, dataset: Any) -> list[int] | None:
    main = getattr(trainer.bare_model, "main_input_name", "input_ids")
    return lengths_of(dataset, trainer.args.length_column_name, main)


def _of_first_process(order: list[int]) -> list[int]:
    found: list[Any] = need("accelerate.utils", "train").broadcast_object_list([order])
    return list(found[0])


def train_sampler(trainer: Any, dataset: Any) -> EpochOrder | None:
    """The order that the arguments name; None for a stream, which has its own."""
    args = trainer.args
    strategy = SamplingStrategy(args.train_sampling_strategy)
    if is_stream(dataset):
        if strategy not in (SamplingStrategy.RANDOM, SamplingStrategy.SEQUENTIAL):
            notice(
                f"train_sampling_strategy={str(strategy)!r} cannot reorder a stream: its own order is kept."
            )
        return None
    lengths = None
    if strategy in (SamplingStrategy.GROUP_BY_LENGTH, SamplingStrategy.BATCH_REBALANCE):
        lengths = _lengths(trainer, dataset)
        if lengths is None:
            raise ValueError(
                f"train_sampling_strategy={str(strategy)!r} needs the lengths of the examples: add a column "
                f"{args.length_column_name!r} (columns are {columns_of(dataset)}), or give a list of dicts "
                "with 'input_ids'"
            )
    processes, accumulation = trainer.accelerator.num_processes, args.gradient_accumulation_steps
    return EpochOrder(
        len(dataset),
        data_seed(args),
        strategy=strategy.value,
        lengths=lengths,
        window=_per_process(trainer, trainer.current_run.batch_size) * processes * accumulation,
        shares=processes * accumulation,
    )


def train_loader(trainer: Any, dataset: Any, sampler: Any, collate: Collator) -> DataLoader[Any]:
    """The training loader: this process's share of the examples in the order of `sampler`."""
    drop_last = trainer.args.dataloader_drop_last
    size = _per_process(trainer, trainer.current_run.batch_size)
    options: dict[str, Any] = {"collate_fn": collate, **_options(trainer)}
    if is_stream(dataset):
        stream = StreamShare(dataset, size, **_processes(trainer), seed=data_seed(trainer.args))
        return DataLoader(
            stream, batch_size=size, drop_last=drop_last, generator=torch.Generator(), **options
        )
    several = trainer.accelerator.num_processes > 1 and not isinstance(sampler, EpochOrder)
    batches = TrainBatches(
        range(len(dataset)) if sampler is None else sampler,
        size,
        drop_last=drop_last,
        agree=_of_first_process if several else None,
        **_processes(trainer),
    )
    # a generator of its own: making an iterator then draws nothing from the run's
    source: Any = Reproducible(dataset, data_seed(trainer.args))
    return DataLoader(source, batch_sampler=batches, generator=torch.Generator(), **options)


def eval_loader(trainer: Any, dataset: Any, sampler: Any, collate: Collator) -> DataLoader[Any]:
    """An evaluation loader: in the order of `sampler`; without one, batches of examples of like lengths."""
    args = trainer.args
    size = _per_process(trainer, args.eval_batch_size)
    options: dict[str, Any] = {"collate_fn": collate, **_options(trainer)}
    if is_stream(dataset):
        stream = StreamShare(dataset, size, **_processes(trainer))
        return DataLoader(stream, batch_size=size, **options)
    lengths, order = None, list(range(len(dataset)) if sampler is None else sampler)
    if sampler is not None and trainer.accelerator.num_processes > 1:
        order = _of_first_process(order)
    # sorted only where a collator pads anew: examples of one width gain nothing
    elif columns_of(dataset) is not None and args.eval_do_concat_batches and not args.batch_eval_metrics:
        lengths = _lengths(trainer, dataset) if sampler is None else None
        if lengths is not None and len(set(lengths)) < 2:
            lengths = None
    batches = EvalBatches(order, size, lengths=lengths, **_processes(trainer))
    fetches = is_hub_dataset(dataset) or hasattr(dataset, "__getitems__")
    source: Any = dataset if fetches else Reproducible(dataset, args.seed)
    return DataLoader(source, batch_sampler=batches, generator=torch.Generator(), **options)
