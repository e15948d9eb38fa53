"""What surrounds the loop: start, retry with smaller batches, interruption."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from formers.core.notices import notice
from formers.training.arguments.backends import tf32
from formers.training.callbacks.progress import ProgressCallback
from formers.training.checkpointer import find_checkpoint
from formers.training.files import get_last_checkpoint
from formers.training.hooks import refuse_never_called
from formers.training.run import Run
from formers.training.state import TrainOutput
from formers.training.watch import Signals, add_noise, check_overflow, empty_cache


def fit(
    trainer: Any,
    loop: Callable[..., TrainOutput],
    wanted: str | bool | None,
    trial: Any,
    ignore_keys: list[str] | None,
) -> TrainOutput:
    """Make a run and go through `loop`, again and with smaller batches where memory gives out."""
    refuse_never_called(trainer)
    args = trainer.args
    logging.getLogger("formers").setLevel(args.get_process_log_level())
    if trainer.model_init is not None:
        trainer.remake_model(trial)
    checkpoint = None if wanted is None else find_checkpoint(args.output_dir or "", wanted)
    batch_size = args.train_batch_size
    while True:
        for name, made in trainer.current_run.made.items():
            if getattr(trainer, name) is made:  # what an earlier run made was not given
                setattr(trainer, name, None)
        trainer.current_run = Run(batch_size)
        try:
            with _training(trainer):
                output = loop(
                    batch_size=batch_size,
                    args=args,
                    resume_from_checkpoint=checkpoint,
                    trial=trial,
                    ignore_keys_for_eval=ignore_keys,
                )
            break
        except Exception as error:
            if not _out_of_memory(error):
                raise
            if not (args.auto_find_batch_size and batch_size > 1):
                error.add_note(
                    f"Memory gave out with {batch_size} examples per step and device: a smaller "
                    "per_device_train_batch_size with gradient_accumulation_steps computes the same, "
                    "auto_find_batch_size=True finds one that fits, and gradient_checkpointing=True, "
                    "bf16=True and a shorter max_length need less for each example"
                )
                raise
            batch_size //= 2
            notice(f"Out of memory: training starts again with {batch_size} examples per step and device.")
            empty_cache(trainer.accelerator.device)
    trainer.publisher.wait()
    return output


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextlib.contextmanager
def _training(trainer: Any) -> Iterator[None]:
    """A training run: whatever ends it, the trainer is usable afterwards."""
    args, run = trainer.args, trainer.current_run
    run.active = True
    # what an earlier run prepared is not this run's
    getattr(trainer.accelerator, "forget", trainer.accelerator.free_memory)()
    signals = Signals() if args.save_on_interrupt or args.enable_jit_checkpoint else None
    run.signals = signals
    try:
        with (
            signals or contextlib.nullcontext(),
            tf32(args),
            add_noise(trainer.model, args.neftune_noise_alpha),
            check_overflow(trainer.model, "underflow_overflow" in args.debug),
        ):
            yield
    except KeyboardInterrupt:
        _say_where_to_go_on(trainer)
        raise
    finally:
        run.active, run.signals, run.items = False, None, None
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, ProgressCallback):
                callback.close()
    if signals is not None and signals.received is not None:
        _say_where_to_go_on(trainer)
        if signals.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signals.received)


def _say_where_to_go_on(trainer: Any) -> None:
    last = trainer.current_run.saved or get_last_checkpoint(trainer.current_run.output_dir)
    how = "True" if str(last) == get_last_checkpoint(trainer.args.output_dir) else repr(str(last))
    way = (
        f"the last checkpoint is {last}; trainer.train(resume_from_checkpoint={how}) goes on from it"
        if last
        else "there is no checkpoint yet (save_strategy, save_steps and save_on_interrupt make them)"
    )
    if trainer.is_world_process_zero():
        print(f"Training was interrupted at step {trainer.state.global_step}: {way}.", file=sys.stderr)
