"""What surrounds the loop: start, retry, interruption, saving of the model, uploads, readable numbers."""

from __future__ import annotations

import contextlib
import copy
import logging
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from formers.core.atomic import write_atomically, write_text
from formers.core.notices import notice, refuse_unknown
from formers.training import cards, loop, resume
from formers.training import checkpointing as files
from formers.training.arguments.backends import tf32
from formers.training.choices import HubStrategy
from formers.training.inspection import inspect_model
from formers.training.state import TrainOutput
from formers.training.watch import Signals, add_noise, check_overflow

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


def run_training(
    trainer: Trainer, wanted: str | bool | None, trial: Any, ignore_keys: list[str] | None
) -> TrainOutput:
    """The body of `Trainer.train`; see there."""
    args = trainer.args
    logging.getLogger("formers").setLevel(args.get_process_log_level())
    if trainer.model_init is not None:
        trainer._seed()
        trainer.model = trainer.model_wrapped = trainer._placed(trainer.call_model_init(trial))
        trainer.optimizer, trainer.lr_scheduler = None, None
        inspect_model(trainer)
    checkpoint = resume.find_checkpoint(trainer, wanted) if wanted is not None else None
    trainer._train_batch_size = args.train_batch_size
    while True:
        for name in trainer._made:
            setattr(trainer, name, None)
        try:
            with tf32(args), _training(trainer):
                output = loop.run(trainer, checkpoint, ignore_keys)
            break
        except Exception as error:
            if not (args.auto_find_batch_size and _out_of_memory(error) and trainer._train_batch_size > 1):
                raise
            trainer._train_batch_size //= 2
            notice(
                f"Out of memory: training starts again with {trainer._train_batch_size} examples per step "
                f"and device."
            )
            loop._empty_cache(trainer.accelerator.device)
    if args.push_to_hub:
        _wait_for_push(trainer)
    return output


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextlib.contextmanager
def _training(trainer: Trainer) -> Iterator[None]:
    """A training run: whatever ends it, the trainer is usable afterwards."""
    args = trainer.args
    trainer.is_in_train = True
    # what an earlier run of this trainer prepared is not this run's
    for kept in (
        trainer.accelerator._models,
        trainer.accelerator._optimizers,
        trainer.accelerator._schedulers,
    ):
        kept.clear()
    watch_signals = args.save_on_interrupt or args.enable_jit_checkpoint
    signals = Signals() if watch_signals else None
    trainer._signals = signals
    try:
        with (
            signals or contextlib.nullcontext(),
            add_noise(trainer.model, args.neftune_noise_alpha),
            check_overflow(trainer.model, "underflow_overflow" in args.debug),
        ):
            yield
    except KeyboardInterrupt:
        _say_where_to_go_on(trainer)
        raise
    finally:
        trainer.is_in_train = False
        trainer._signals = None
        trainer._share = None
        _close_progress(trainer)
    if signals is not None and signals.received is not None:
        _say_where_to_go_on(trainer)
        if signals.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signals.received)


def _close_progress(trainer: Trainer) -> None:
    from formers.training.progress import ProgressCallback

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ProgressCallback):
            callback._close()


def _say_where_to_go_on(trainer: Trainer) -> None:
    last = files.get_last_checkpoint(trainer._run_dir())
    way = (
        f"the last checkpoint is {last}; trainer.train(resume_from_checkpoint=True) goes on from it"
        if last
        else "there is no checkpoint yet (save_strategy, save_steps and save_on_interrupt make them)"
    )
    if trainer.is_world_process_zero():
        print(f"Training was interrupted at step {trainer.state.global_step}: {way}.", file=sys.stderr)


# ---- saving --------------------------------------------------------------------------------------


def write_model(trainer: Trainer, folder: Path) -> None:
    """Write model, tokenizer and arguments into `folder`."""
    args = trainer.args
    state_dict = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer._is_sharded else None
    if not args.should_save:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with trainer.averaged():
        files.save_weights(trainer.model, folder, state_dict, args.save_safetensors)
    processing = trainer.processing_class
    if processing is None:
        processing = getattr(trainer.data_collator, "tokenizer", None)
    if hasattr(processing, "save_pretrained"):
        processing.save_pretrained(str(folder))
    _write_arguments(trainer, folder)


def _write_arguments(trainer: Trainer, folder: Path) -> None:
    """The arguments twice: as the ecosystem's pickle, which we never read, and as JSON."""
    args = copy.copy(trainer.args)
    args.hub_token = None  # the file may be uploaded
    with write_atomically(folder / files.ARGUMENTS) as beside:
        torch.save(args, beside)
    write_text(folder / files.ARGUMENTS_JSON, trainer.args.to_json_string() + "\n")


# ---- the Hub -------------------------------------------------------------------------------------


def push(
    trainer: Trainer,
    message: str | None,
    blocking: bool,
    token: str | None,
    revision: str | None,
    details: dict[str, Any],
) -> str | None:
    """The body of `Trainer.push_to_hub`; see there."""
    args = trainer.args
    refuse_unknown(
        details, (*cards.DETAILS, "commit_message", "blocking", "token", "revision"), "Trainer.push_to_hub"
    )
    if trainer.hub_model_id is None:
        trainer.init_hf_repo()
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return None
    trainer.create_model_card(**details)
    _wait_for_push(trainer)
    options = {"commit_message": message, "ignore": ["_*", f"{files.PREFIX}-*", ".*"]}
    return _upload(trainer, Path(str(args.output_dir)), options, token, revision, blocking)


def _upload(
    trainer: Trainer,
    folder: Path,
    options: dict[str, Any],
    token: str | None,
    revision: str | None,
    blocking: bool,
) -> str | None:
    from formers.hub import push_folder

    args = trainer.args
    trainer.callback_handler.on_push_begin(args, trainer.state, trainer.control)

    def upload() -> str:
        return push_folder(
            folder,
            str(trainer.hub_model_id),
            token=token or args.hub_token,
            private=args.hub_private_repo,
            revision=revision or args.hub_revision,
            **options,
        )

    if blocking:
        return upload()
    result = _Upload(upload)
    result.start()
    trainer._push_thread = result
    return None


class _Upload(threading.Thread):
    """An upload in the background, whose error is raised where it is waited for."""

    def __init__(self, work: Any) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.error = error


def _wait_for_push(trainer: Trainer) -> None:
    thread = trainer._push_thread
    if thread is not None:
        thread.join()
        trainer._push_thread = None
        if thread.error is not None:
            notice(f"An upload during training failed: {thread.error}")


def push_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Upload what was just saved, as `hub_strategy` says, unless an earlier upload is still under way."""
    args = trainer.args
    running = trainer._push_thread
    if not trainer.is_world_process_zero() or (
        running is not None and running.is_alive() and not args.hub_always_push
    ):
        return
    _wait_for_push(trainer)
    home = Path(str(args.output_dir))
    wanted = [
        files.WEIGHTS,
        files.WEIGHTS_INDEX,
        files.WEIGHTS_BIN,
        "model-*.safetensors",
        "*.json",
        "*.txt",
        "*.model",
    ]
    for pattern in wanted:
        for path in folder.glob(pattern):
            if path.name != files.STATE:
                shutil.copy2(path, home / path.name)
    ignore = ["_*", ".*"]
    if args.hub_strategy == HubStrategy.CHECKPOINT:
        away = home / "last-checkpoint"
        shutil.rmtree(away, ignore_errors=True)
        shutil.copytree(folder, away)
    if args.hub_strategy != HubStrategy.ALL_CHECKPOINTS:
        ignore.append(f"{files.PREFIX}-*")
    unit = f"step {trainer.state.global_step}"
    options = {"commit_message": f"Training in progress, {unit}", "ignore": ignore}
    _upload(trainer, home, options, None, None, blocking=False)


# ---- numbers for people --------------------------------------------------------------------------


def readable(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics as people read them."""
    shown: dict[str, Any] = {}
    for key, value in metrics.items():
        if "_mem_" in key:
            shown[key] = f"{float(value) / 2**20:.0f}MB"
        elif key.endswith("_runtime"):
            shown[key] = (
                str(timedelta(seconds=round(float(value), 2)))[:-4]
                if value % 1
                else str(timedelta(seconds=value))
            )
        elif key == "total_flos":
            shown[key] = f"{float(value) / 2**30:.0f}GF"
        elif isinstance(value, float):
            shown[key] = round(value, 4)
        else:
            shown[key] = value
    return shown
