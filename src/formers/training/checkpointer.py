"""Writing where a run stands, and going on from there as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from formers.core.jsonfile import plain, read_json_object
from formers.core.notices import notice
from formers.training import files, shards
from formers.training.optim import ema, parameter_order
from formers.training.seeds import random_state
from formers.training.state import STATE, TrainerState
from formers.training.step import Step


class Checkpointer:
    """Saves a trainer's run, and loads it."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.args = trainer.args
        self.accelerator = trainer.accelerator

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, output_dir: str, parts: Sequence[Callable[[str], Any]]) -> Path:
        """Write `checkpoint-<step>`, whole or not at all: the model, what `parts` write, and the state."""
        trainer, state = self.trainer, self.trainer.state
        folder = Path(output_dir) / f"{files.PREFIX}-{state.global_step}"
        # one process makes the folder: the first of all, or of each machine that has a disk of its own
        first = self.args.should_save
        with files.whole_folder(folder, first=first, wait=self.accelerator.wait_for_everyone) as beside:
            trainer.save_model(str(beside), _internal_call=True)
            for write in parts:
                write(str(beside))
            if state.best_global_step == state.global_step:
                state.best_model_checkpoint = str(folder)
            run = trainer.current_run
            loss = Step(trainer).reduced(run.loss)  # of all processes: as many need not go on
            if first:
                state.loss_since_log, state.lost_since_log = loss, run.lost.tolist()
                state.stateful_callbacks = trainer.callback_handler.states(trainer.control)
                (beside / STATE).write_text(state.to_json(), encoding="utf-8")
        trainer.current_run.saved = folder
        return folder

    def save_optimizer(self, folder: Path) -> None:
        """Write optimizer, average of the weights, scaler and schedule."""
        trainer, scaler = self.trainer, self.accelerator.scaler
        if trainer.is_sharded:
            self.accelerator.save_state(str(folder / shards.FOLDER))
        elif self.args.should_save:
            state = parameter_order.to_file(trainer.optimizer, trainer.model)
            torch.save(state, folder / files.OPTIMIZER)
            if trainer.current_run.ema is not None:
                trainer.current_run.ema.save(folder)
            if scaler is not None:
                torch.save(scaler.state_dict(), folder / files.SCALER)
        if self.args.should_save and trainer.lr_scheduler is not None:
            torch.save(trainer.lr_scheduler.state_dict(), folder / files.SCHEDULER)

    def save_generators(self, folder: Path) -> None:
        """Write the generators' states of this process.

        Under the names and in the shapes that the ecosystem looks for; what repeats this epoch's draws lies
        beside them.
        """
        run = self.trainer.current_run
        generators = {**random_state(run.of_loader), "epoch_begin": run.generators_at_epoch}
        if self.accelerator.num_processes == 1 and "cuda" in generators:
            generators["cuda"] = torch.cuda.get_rng_state()
        torch.save(generators, folder / self._random_state_file)

    @property
    def _random_state_file(self) -> str:
        return files.random_state_file(self.accelerator.process_index, self.accelerator.num_processes)

    # ---- loading ---------------------------------------------------------------------------------

    def load_model(self, folder: Path) -> None:
        """Take the weights; of a run with `ema_decay`, whose model is the average, also what lies beside."""
        trainer, average = self.trainer, self.trainer.current_run.ema
        if trainer.is_sharded:
            if (folder / shards.FOLDER).is_dir():
                self.accelerator.load_state(str(folder / shards.FOLDER))
            elif trainer.is_deepspeed_enabled:
                raise ValueError(
                    f"{folder} is of a run without DeepSpeed: load its weights with from_pretrained, and "
                    "leave resume_from_checkpoint out"
                )
            else:
                shards.load_weights(trainer.model_wrapped, folder)
            return
        files.load_weights(trainer.model, folder)
        if average is not None:
            average.load(folder)
        elif (folder / ema.FILE).is_file():
            notice(
                f"{folder} is of a run that averaged its weights (ema_decay), and this one does not: it goes "
                "on from the weights themselves."
            )
            ema.put_weights_back(
                {n: w for n, w in trainer.model.named_parameters() if w.requires_grad}, folder
            )

    def load_optimizer(self, folder: Path) -> None:
        """Take optimizer, scaler and schedule."""
        trainer, scaler = self.trainer, self.accelerator.scaler
        if (folder / files.OPTIMIZER).is_file():
            state = files.read_tensors(folder / files.OPTIMIZER)
            asked = [dict(group) for group in trainer.optimizer.param_groups]
            state = parameter_order.from_file(state, trainer.optimizer, trainer.model, folder)
            _compare_options(asked, state["param_groups"], trainer.optimizer)
            if trainer.is_sharded:
                live = [one for group in trainer.optimizer.param_groups for one in group["params"]]
                state = shards.cut(state, live)
            trainer.optimizer.load_state_dict(state)
        elif shards.has_optimizer(folder):
            if not trainer.is_sharded:
                shards.load_optimizer(trainer.model, trainer.optimizer, folder)
        elif not trainer.is_sharded or not (folder / shards.FOLDER).is_dir():
            notice(
                f"{folder} holds no {files.OPTIMIZER} (save_only_model=True?): the optimizer starts afresh."
            )
        if not trainer.is_sharded and scaler is not None and (folder / files.SCALER).is_file():
            scaler.load_state_dict(files.read_tensors(folder / files.SCALER))
        if (folder / files.SCHEDULER).is_file() and trainer.lr_scheduler is not None:
            trainer.lr_scheduler.load_state_dict(files.read_tensors(folder / files.SCHEDULER))
            _follow(trainer.lr_scheduler, trainer.optimizer.param_groups)

    def read_generators(self, folder: Path) -> dict[str, Any] | None:
        """The generators' states of this process at a checkpoint: `epoch_begin` and `now`."""
        path = folder / self._random_state_file
        if not path.is_file():
            notice(
                f"{folder} holds no {path.name}: random numbers (dropout) differ from those of an "
                "undisturbed run."
            )
            return None
        try:
            saved: dict[str, Any] = files.read_tensors(path)
        except ValueError as error:
            notice(f"Random numbers (dropout) differ from those of an undisturbed run: {error}")
            return None
        return {"epoch_begin": saved.pop("epoch_begin", None), "now": saved}

    def load_best(self) -> None:
        """Put the best model's weights back."""
        best = self.trainer.state.best_model_checkpoint
        if best is None or not Path(best).is_dir():
            notice(
                f"The best model's checkpoint ({best}) is not there: the model stays as the last step left "
                "it."
            )
            return
        if self.trainer.is_sharded:
            shards.load_weights(self.trainer.model_wrapped, Path(best))
        else:
            files.load_weights(self.trainer.model, Path(best))


def _follow(schedule: Any, groups: list[dict[str, Any]]) -> None:
    """Have this run's schedule say the next rate; the saved one is of the interrupted run's length."""
    if isinstance(schedule, LambdaLR):
        factors = zip(groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
        for group, base, factor in factors:
            rate = base * factor(schedule.last_epoch)
            group["lr"] = group["lr"].fill_(rate) if torch.is_tensor(group["lr"]) else rate


# arguments that decide what comes next, and what another value of them means
_DECIDES = {
    ("seed", "data_seed", "train_sampling_strategy", "group_by_length"): (
        "the examples come in another order, so some will be seen twice or not at all"
    ),
    ("gradient_accumulation_steps",): "the steps already done stand for another number of examples",
    ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio"): (
        "the learning rate goes on along the schedule of this run"
    ),
}


def notice_changes(folder: Path, state: TrainerState, args: Any, batches: int | None, examples: int) -> None:
    """Say what of a resumed run is not as it was in the interrupted one.

    Args:
        folder: the checkpoint.
        state: the one in it.
        args: of this run.
        batches: how many an epoch of this run has; None for a stream.
        examples: of a batch over all processes.
    """
    path = folder / files.ARGUMENTS_JSON
    before = read_json_object(path) if path.is_file() else {}
    now = plain(args.to_dict(), str)
    for names, meaning in _DECIDES.items():
        changed = [
            f"{name} {now[name]!r} (the interrupted run had {before[name]!r})"
            for name in names
            if name in before and name in now and before[name] != now[name]
        ]
        if changed:
            notice(f"This run has {', '.join(changed)}: {meaning}.")
    part = (state.epoch or 0.0) - (state.epoch_number or 0)  # of an epoch, for `epoch_examples`
    size = "per_device_train_batch_size"
    if batches is None or part <= 0 or state.epoch_number is None or before.get(size) != now[size]:
        return
    told = state.epoch_examples / part / examples
    if abs(told - batches) > 0.9:
        notice(
            f"An epoch of this run has {batches} batches, one of the interrupted run had {round(told)}: the "
            "training set is another, so some examples will be seen twice or not at all."
        )


# set anew by schedules, or of how and not of what is computed, or not there in every release of torch
_NO_OPTIONS = {
    "params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable", "maximize",
    "decoupled_weight_decay",
}  # fmt: skip


def _compare_options(asked: list[dict[str, Any]], saved: list[dict[str, Any]], optimizer: Any) -> None:
    """Say which options of this run a checkpoint overrides.

    Raises:
        ValueError: for a checkpoint of another optimizer.
    """
    kept: dict[str, None] = {}
    for new, old in zip(asked, saved, strict=False):
        missing = set(getattr(optimizer, "defaults", ())) - set(old) - _NO_OPTIONS
        foreign = set(old) - set(new) - _NO_OPTIONS
        if missing or foreign:
            said = [f"no {', '.join(sorted(missing))}"] * bool(missing)
            said += [f"also {', '.join(sorted(foreign))}"] * bool(foreign)
            raise ValueError(
                f"the checkpoint is of another optimizer than {type(optimizer).__name__}: it has "
                f"{' and '.join(said)}. Resume with the same optim, or load the checkpoint with "
                "from_pretrained and leave resume_from_checkpoint out"
            )
        for name in ("initial_lr", *(name for name in new if name not in _NO_OPTIONS)):
            if name in new and name in old and not torch.is_tensor(new[name]) and new[name] != old[name]:
                shown = "learning_rate" if name == "initial_lr" else name
                kept[f"{shown} {new[name]!r} (the checkpoint has {old[name]!r})"] = None
    if kept:
        notice(
            f"A resumed run goes on as it was, so that these are not used: {', '.join(kept)}. To train on "
            "with others, load the checkpoint with from_pretrained and leave resume_from_checkpoint out."
        )


def _notice_a_later_run(highest: Path, there: list[Path]) -> None:
    """Say so where the checkpoint with the highest number was written before another run's."""
    latest = max(there, key=lambda folder: (folder / STATE).stat().st_mtime_ns)
    if latest == highest:
        return
    logs = [TrainerState.load_from_json(folder / STATE).log_history for folder in (highest, latest)]
    if logs[0][: len(logs[1])] != logs[1]:
        notice(
            f"{highest} has the highest number, but {latest.name} is of another run and was written later: "
            f"resume_from_checkpoint={str(latest)!r} goes on from that one."
        )


def find_checkpoint(output_dir: str, wanted: str | bool) -> str:
    """The checkpoint to go on from.

    Raises:
        ValueError: where there is none; the text says where was looked and what to do.
    """
    if wanted is True:
        found = files.get_last_checkpoint(output_dir)
        if found is None:
            raise ValueError(
                f"resume_from_checkpoint=True, but {output_dir!r} holds no checkpoint-<step> folder: start "
                "with trainer.train(), or give the path of a checkpoint. To do either as it comes: "
                "trainer.train(resume_from_checkpoint=get_last_checkpoint(args.output_dir)) from "
                "formers.training"
            )
        _notice_a_later_run(Path(found), files.checkpoints(output_dir))
        return found
    folder = Path(str(wanted)).expanduser()
    if not folder.is_dir():
        raise ValueError(f"there is no checkpoint folder {str(folder)!r}")
    return str(folder)
