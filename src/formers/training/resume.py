"""Writing where a run stands, and going on from there as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from formers.core.notices import notice
from formers.training import averaging, parameter_order
from formers.training import checkpointing as files
from formers.training.seeds import random_state, restore_random_state
from formers.training.state import ExportableState, TrainerState

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


def save_checkpoint(trainer: Trainer) -> Path:
    """Write `checkpoint-<step>`: weights, optimizer, schedule, generators, state. Whole or not at all."""
    args, accelerator = trainer.args, trainer.accelerator
    folder = Path(trainer._run_dir()) / f"{files.PREFIX}-{trainer.state.global_step}"
    # one process makes the folder: the first of all, or of each machine that has a disk of its own
    first = args.should_save
    with files.whole_folder(folder, first=first, wait=accelerator.wait_for_everyone) as beside:
        trainer.save_model(str(beside), _internal_call=True)
        if not args.save_only_model:
            _save_progress(trainer, beside)
        if first:
            if trainer.state.best_global_step == trainer.state.global_step:
                trainer.state.best_model_checkpoint = str(folder)
            trainer.state.stateful_callbacks = _callback_states(trainer)
            (beside / files.STATE).write_text(trainer.state.to_json(), encoding="utf-8")
    if trainer.state.best_global_step == trainer.state.global_step:
        trainer.state.best_model_checkpoint = str(folder)
    if first:
        files.rotate(folder.parent, args.save_total_limit, trainer.state.best_model_checkpoint)
    return folder


def _save_progress(trainer: Trainer, folder: Path) -> None:
    accelerator = trainer.accelerator
    if trainer._is_sharded:
        accelerator.save_state(str(folder / "sharded"))
    elif trainer.args.should_save:
        state = parameter_order.to_file(trainer.optimizer, trainer.model)
        torch.save(state, folder / files.OPTIMIZER)
        if trainer.average is not None:
            trainer.average.save(folder)
        if accelerator.scaler is not None:
            torch.save(accelerator.scaler.state_dict(), folder / files.SCALER)
    if trainer.args.should_save and trainer.lr_scheduler is not None:
        torch.save(trainer.lr_scheduler.state_dict(), folder / files.SCHEDULER)
    # the names and shapes that the ecosystem looks for, and what repeats this epoch's draws beside them
    generators = {**random_state(), "epoch_begin": trainer._random_at_epoch}
    if accelerator.num_processes == 1 and "cuda" in generators:
        generators["cuda"] = torch.cuda.get_rng_state()
    name = files.random_state_file(accelerator.process_index, accelerator.num_processes)
    torch.save(generators, folder / name)


def _callback_states(trainer: Trainer) -> dict[str, Any]:
    states: dict[str, Any] = {"TrainerControl": trainer.control.state()}
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ExportableState):
            name, state = type(callback).__name__, callback.state()
            if name in states:  # several of one class: a list, in their order
                kept = states[name]
                states[name] = [*(kept if isinstance(kept, list) else [kept]), state]
            else:
                states[name] = state
    return states


def find_checkpoint(trainer: Trainer, wanted: str | bool) -> Path:
    """The checkpoint to go on from.

    Raises:
        ValueError: where there is none; the text says where was looked and what to do.
    """
    if wanted is True:
        found = files.get_last_checkpoint(trainer.args.output_dir or "")
        if found is None:
            raise ValueError(
                f"resume_from_checkpoint=True, but {trainer.args.output_dir!r} holds no checkpoint-<step> "
                f"folder: "
                "start with trainer.train(), or give the path of a checkpoint. To do either as it comes: "
                "trainer.train(resume_from_checkpoint=get_last_checkpoint(args.output_dir)) from "
                "formers.training"
            )
        return Path(found)
    folder = Path(str(wanted)).expanduser()
    if not folder.is_dir():
        raise ValueError(f"there is no checkpoint folder {str(folder)!r}")
    return folder


def load_progress(trainer: Trainer, folder: Path) -> None:
    """Take weights, optimizer, schedule, scaler, state and callbacks from a checkpoint."""
    accelerator = trainer.accelerator
    if trainer._is_sharded:
        accelerator.load_state(str(folder / "sharded"))
    else:
        files.load_weights(trainer.model, folder)
        _load_average(trainer, folder)
        path = folder / files.OPTIMIZER
        if path.is_file():
            state = files.read_tensors(path)
            trainer.optimizer.load_state_dict(
                parameter_order.from_file(state, trainer.optimizer, trainer.model, folder)
            )
        else:
            notice(
                f"{folder} holds no {files.OPTIMIZER} (save_only_model=True?): the optimizer starts afresh."
            )
        if accelerator.scaler is not None and (folder / files.SCALER).is_file():
            accelerator.scaler.load_state_dict(files.read_tensors(folder / files.SCALER))
    if (folder / files.SCHEDULER).is_file() and trainer.lr_scheduler is not None:
        trainer.lr_scheduler.load_state_dict(files.read_tensors(folder / files.SCHEDULER))


def _load_average(trainer: Trainer, folder: Path) -> None:
    """A checkpoint of a run with `ema_decay` has the average for a model, and the weights beside it."""
    if trainer.average is not None:
        trainer.average.load(folder)
    elif (folder / averaging.FILE).is_file():
        notice(
            f"{folder} is of a run that averaged its weights (ema_decay), and this one does not: it goes on "
            "from the weights themselves."
        )
        trained = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        averaging.put_weights_back(trained, folder)


def load_state(trainer: Trainer, folder: Path) -> TrainerState | None:
    """The state that a checkpoint holds; None for a bare model folder."""
    path = folder / files.STATE
    if not path.is_file():
        notice(f"{folder} holds no {files.STATE}: its weights are loaded, and training starts from step 0.")
        return None
    state = TrainerState.load_from_json(path)
    if state.train_batch_size is not None and state.train_batch_size != trainer._train_batch_size:
        notice(
            f"This run has {trainer._train_batch_size} examples per step and device, the interrupted one had "
            f"{state.train_batch_size}: the steps already done stand for other examples, so some will be "
            f"seen twice or not at all."
        )
    return state


def restore_callbacks(trainer: Trainer, state: TrainerState) -> None:
    """Give callbacks what they had counted.

    Counters always come back. With `restore_callback_states_from_checkpoint` so do constructor arguments.
    """
    used: dict[str, int] = {}
    for callback in trainer.callback_handler.callbacks:
        name = type(callback).__name__
        saved = state.stateful_callbacks.get(name)
        if saved is None or not isinstance(callback, ExportableState):
            continue
        entries = saved if isinstance(saved, list) else [saved]
        position = used.get(name, 0)
        used[name] = position + 1
        if position < len(entries):
            if trainer.args.restore_callback_states_from_checkpoint:
                callback.restore({"attributes": entries[position].get("args", {})})
            callback.restore(entries[position])


def read_generators(trainer: Trainer, folder: Path) -> dict[str, Any] | None:
    """The generators' states of this process at a checkpoint."""
    accelerator = trainer.accelerator
    path = folder / files.random_state_file(accelerator.process_index, accelerator.num_processes)
    if not path.is_file():
        notice(
            f"{folder} holds no {path.name}: random numbers (dropout) differ from those of an undisturbed "
            f"run."
        )
        return None
    try:
        saved: dict[str, Any] = files.read_tensors(path)
    except ValueError as error:
        notice(f"Random numbers (dropout) differ from those of an undisturbed run: {error}")
        return None
    if "now" in saved:  # checkpoints of our first format
        return saved
    return {"epoch_begin": saved.pop("epoch_begin", None), "now": saved}


def restore_generators(state: dict[str, Any] | None) -> None:
    """Put generators back where they were, if it is known where."""
    if state is not None:
        restore_random_state(state)


def load_best(trainer: Trainer) -> None:
    """Put the best model's weights back."""
    best = trainer.state.best_model_checkpoint
    if best is None or not Path(best).is_dir():
        notice(
            f"The best model's checkpoint ({best}) is not there: the model stays as the last step left it."
        )
        return
    files.load_weights(trainer.model, Path(best))
