"""Loaders of batches for training and evaluation, each process its share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from formers.core.notices import notice
from formers.training.choices import SamplingStrategy
from formers.training.collators import DataCollatorWithPadding, default_data_collator
from formers.training.data import Reproducible, columns_of, has_length, is_hub_dataset, lengths_of
from formers.training.samplers import EvalBatches, StreamShare, TrainBatches

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


def default_collator(processing_class: Any) -> Callable[[list[Any]], Any]:
    """Pads with the tokenizer (or feature extractor) where there is one, else stacks."""
    if hasattr(processing_class, "pad") or hasattr(processing_class, "pad_token_id"):
        return DataCollatorWithPadding(processing_class)
    return default_data_collator


def _options(trainer: Trainer) -> dict[str, Any]:
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


def _per_process(trainer: Trainer, batch_size: int) -> int:
    """Examples per process: `split_batches` reads the batch size as that of all processes together."""
    processes = int(trainer.accelerator.num_processes)
    if not trainer._loader_config["split_batches"]:
        return batch_size
    if batch_size % processes:
        raise ValueError(
            f"split_batches=True: the batch size {batch_size} must be a multiple of the {processes} processes"
        )
    return batch_size // processes


def _lengths(trainer: Trainer, dataset: Any) -> list[int] | None:
    main = getattr(trainer._bare(), "main_input_name", "input_ids")
    return lengths_of(dataset, trainer.args.length_column_name, main)


def train_loader(trainer: Trainer) -> DataLoader[Any]:
    """The training loader: our own order, from (seed, epoch) alone."""
    args, accelerator = trainer.args, trainer.accelerator
    dataset = trainer.train_dataset
    size = _per_process(trainer, trainer._train_batch_size)
    collate = trainer._collator(dataset)
    seed = args.seed if args.data_seed is None else args.data_seed
    strategy = SamplingStrategy(args.train_sampling_strategy)
    if not has_length(dataset):
        if strategy not in (SamplingStrategy.RANDOM, SamplingStrategy.SEQUENTIAL):
            notice(
                f"train_sampling_strategy={str(strategy)!r} cannot reorder a stream: its own order is kept."
            )
        stream = StreamShare(dataset, size, accelerator.process_index, accelerator.num_processes)
        return DataLoader(
            stream,
            batch_size=size,
            collate_fn=collate,
            drop_last=args.dataloader_drop_last,
            **_options(trainer),
        )
    lengths = None
    if strategy in (SamplingStrategy.GROUP_BY_LENGTH, SamplingStrategy.BATCH_REBALANCE):
        lengths = _lengths(trainer, dataset)
        if lengths is None:
            raise ValueError(
                f"train_sampling_strategy={str(strategy)!r} needs the lengths of the examples: add a column "
                f"{args.length_column_name!r} (columns are {columns_of(dataset)}), or give a list of dicts "
                f"with 'input_ids'"
            )
    sampler = TrainBatches(
        len(dataset),
        size,
        seed=seed,
        strategy=strategy.value,
        lengths=lengths,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
        drop_last=args.dataloader_drop_last,
        accumulation=args.gradient_accumulation_steps,
    )
    return DataLoader(
        Reproducible(dataset, seed),  # type: ignore[arg-type]
        batch_sampler=sampler,
        collate_fn=collate,
        generator=torch.Generator(),  # so that making an iterator draws nothing from the run's own generator
        **_options(trainer),
    )


def eval_loader(trainer: Trainer, dataset: Any) -> DataLoader[Any]:
    """An evaluation loader: planned by tokens where lengths are known, in order where not."""
    args, accelerator = trainer.args, trainer.accelerator
    size = _per_process(trainer, args.eval_batch_size)
    collate = trainer._collator(dataset)
    if not has_length(dataset):
        stream = StreamShare(dataset, size, accelerator.process_index, accelerator.num_processes)
        return DataLoader(stream, batch_size=size, collate_fn=collate, **_options(trainer))
    lengths = None
    # by tokens only where a collator pads anew: examples of one width gain nothing
    if columns_of(dataset) is not None and args.eval_do_concat_batches and not args.batch_eval_metrics:
        lengths = _lengths(trainer, dataset)
        if lengths is not None and len(set(lengths)) < 2:
            lengths = None
    batches = EvalBatches(
        len(dataset),
        size,
        lengths=lengths,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    source: Any = (
        dataset
        if is_hub_dataset(dataset) or hasattr(dataset, "__getitems__")
        else Reproducible(dataset, args.seed)
    )
    return DataLoader(
        source, batch_sampler=batches, collate_fn=collate, generator=torch.Generator(), **_options(trainer)
    )
