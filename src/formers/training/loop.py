"""The training loop: windows of batches, one optimizer step each."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.core.notices import notice
from formers.training import resume
from formers.training.checkpointing import clean_leftovers
from formers.training.choices import SaveStrategy
from formers.training.data import Reproducible, has_length
from formers.training.evaluating import speed
from formers.training.losses import count_examples, count_items
from formers.training.samplers import StreamShare, TrainBatches
from formers.training.schedulers import needs_metric
from formers.training.seeds import random_state
from formers.training.state import TrainerState, TrainOutput
from formers.training.steps import call_training_step, count_work

if TYPE_CHECKING:
    from formers.training.trainer import Trainer


@dataclasses.dataclass
class Length:
    """How long a run is. `batches` and `windows` are per epoch; None for a stream without length."""

    batches: int | None
    windows: int | None
    steps: int
    epochs: int

    @classmethod
    def of(cls, args: Any, loader: Any) -> Length:
        """From the arguments and the loader.

        Raises:
            ValueError: where the number of steps cannot be known, or there is nothing to train on.
        """
        if not has_length(loader):
            if args.max_steps <= 0:
                raise ValueError("the training set has no length, so max_steps must say how long to train")
            return cls(None, None, args.max_steps, sys.maxsize)
        batches = len(loader)
        if batches == 0:
            raise ValueError(
                "the training set gives no batch: it is empty, or dataloader_drop_last drops its only, "
                "incomplete one"
            )
        windows = math.ceil(batches / args.gradient_accumulation_steps)
        if args.max_steps > 0:
            return cls(batches, windows, args.max_steps, math.ceil(args.max_steps / windows))
        steps = math.ceil(args.num_train_epochs * windows)
        return cls(batches, windows, steps, math.ceil(args.num_train_epochs))


def run(trainer: Trainer, checkpoint: Path | None, ignore_keys: list[str] | None) -> TrainOutput:
    """Train from the start or from a checkpoint to the end."""
    return _Run(trainer, ignore_keys).run(checkpoint)


class _Run:
    """One call of `Trainer.train`."""

    def __init__(self, trainer: Trainer, ignore_keys: list[str] | None) -> None:
        self.trainer = trainer
        self.args = trainer.args
        self.accelerator = trainer.accelerator
        self.ignore_keys = ignore_keys
        self.loader = trainer.get_train_dataloader()
        self.length = Length.of(self.args, self.loader)
        self.learning_rate: float | None = None
        self.grad_norm: Tensor | float | None = None
        self.first_step = 0

    # ---- set-up ----------------------------------------------------------------------------------

    def run(self, checkpoint: Path | None) -> TrainOutput:
        trainer, args = self.trainer, self.args
        start = time.perf_counter()
        model = trainer._prepare_training(self.length.steps)
        trainer.state = self._new_state()
        skip_batches, epoch, generators = 0, 0, None
        if checkpoint is not None:
            epoch, skip_batches, generators = self._resume(checkpoint)
        if args.should_save:
            clean_leftovers(Path(trainer._run_dir()))
        self.first_step = trainer.state.global_step
        handler = trainer.callback_handler
        handler.model, handler.optimizer, handler.lr_scheduler = (
            trainer.model,
            trainer.optimizer,
            trainer.lr_scheduler,
        )
        handler.train_dataloader = self.loader
        trainer._running_loss = torch.tensor(trainer.state.loss_since_log, device=self.accelerator.device)
        trainer._zero_grad()
        trainer.control = handler.on_train_begin(args, trainer.state, trainer.control)
        if args.eval_on_start and checkpoint is None:
            trainer._evaluate_now(self.ignore_keys)
        finished = trainer.state.global_step >= self.length.steps
        if finished:
            notice(
                f"The checkpoint is at step {trainer.state.global_step}, the end of this run: nothing is "
                f"left to train."
            )
        if checkpoint is not None and epoch and not skip_batches and not trainer.state.epoch_closed:
            self._close(epoch - 1)  # the run was cut off between the epoch's last step and its end
        while epoch < self.length.epochs and not (trainer.control.should_training_stop or finished):
            self._epoch(model, epoch, skip_batches, generators)
            skip_batches, generators = 0, None
            epoch += 1
        return self._finish(start)

    def _new_state(self) -> TrainerState:
        args, steps = self.args, self.length.steps
        trainer = self.trainer

        def every(value: float | None) -> int:
            if value is None:
                return 0
            return math.ceil(steps * value) if value < 1 else int(value)

        return TrainerState(
            max_steps=steps,
            num_train_epochs=self.length.epochs,
            logging_steps=every(args.logging_steps),
            eval_steps=every(args.eval_steps),
            save_steps=every(args.save_steps),
            train_batch_size=trainer._train_batch_size,
            is_local_process_zero=trainer.is_local_process_zero(),
            is_world_process_zero=trainer.is_world_process_zero(),
            is_hyper_param_search=trainer.state.is_hyper_param_search,
            trial_name=trainer.state.trial_name,
            trial_params=trainer.state.trial_params,
        )

    def _resume(self, checkpoint: Path) -> tuple[int, int, dict[str, Any] | None]:
        """Load a checkpoint; returns epoch, batches of it that are done, and the generators' states."""
        trainer, args = self.trainer, self.args
        saved = resume.load_state(trainer, checkpoint)
        resume.load_progress(trainer, checkpoint)
        if saved is None:
            return 0, 0, None
        now = trainer.state
        for name in (
            "max_steps",
            "num_train_epochs",
            "logging_steps",
            "eval_steps",
            "save_steps",
            "train_batch_size",
        ):
            setattr(saved, name, getattr(now, name))
        saved.is_local_process_zero, saved.is_world_process_zero = (
            now.is_local_process_zero,
            now.is_world_process_zero,
        )
        trainer.state = saved
        resume.restore_callbacks(trainer, saved)
        trainer.control.new_training()
        done = saved.global_step
        if self.length.windows is None:
            return (
                int(saved.epoch or 0),
                self._stream_position(done),
                resume.read_generators(trainer, checkpoint),
            )
        epoch, windows = divmod(done, self.length.windows)
        skip = 0 if args.ignore_data_skip else windows * args.gradient_accumulation_steps
        return epoch, skip, resume.read_generators(trainer, checkpoint)

    def _stream_position(self, done: int) -> int:
        return 0 if self.args.ignore_data_skip else done * self.args.gradient_accumulation_steps

    # ---- epochs ----------------------------------------------------------------------------------

    def _epoch(self, model: Any, epoch: int, skip: int, generators: dict[str, Any] | None) -> None:
        trainer, args = self.trainer, self.args
        if generators is not None and generators.get("epoch_begin") is not None and skip:
            resume.restore_generators(generators["epoch_begin"])
        elif generators is not None:
            resume.restore_generators(generators["now"])
        trainer._random_at_epoch = random_state()
        batches = self._batches(epoch, skip)
        if generators is not None:
            resume.restore_generators(generators["now"])
        trainer.state.epoch_closed = False
        trainer.control = trainer.callback_handler.on_epoch_begin(args, trainer.state, trainer.control)
        position, accumulation = skip, args.gradient_accumulation_steps
        while window := list(islice(batches, accumulation)):
            last = self.length.batches is not None and position + len(window) >= self.length.batches
            self._window(model, window, epoch, position)
            position += len(window)
            if last or trainer.control.should_epoch_stop or trainer.control.should_training_stop:
                break
        if position == skip and skip == 0:
            notice(
                f"The training set gave no batch in epoch {epoch}; training stops at step "
                f"{trainer.state.global_step} of "
                f"{self.length.steps}."
            )
            trainer.control.should_training_stop = True
        self._close(epoch)

    def _close(self, epoch: int) -> None:
        """The end of an epoch, and what is due then."""
        trainer = self.trainer
        trainer.state.epoch_closed = True
        trainer.control = trainer.callback_handler.on_epoch_end(self.args, trainer.state, trainer.control)
        self._after(epoch)

    def _batches(self, epoch: int, skip: int) -> Iterator[Any]:
        """Batches of an epoch past the first `skip`; our own samplers skip without touching an example."""
        loader = self.loader
        sampler = getattr(loader, "batch_sampler", None)
        dataset = getattr(loader, "dataset", None)
        if isinstance(dataset, Reproducible):
            dataset.epoch.fill_(epoch)
        own = (
            sampler
            if isinstance(sampler, TrainBatches)
            else dataset
            if isinstance(dataset, StreamShare)
            else None
        )
        if own is not None:
            own.set_epoch(epoch)
            own.skip = skip
            generator = getattr(loader, "generator", None)
            if generator is not None:  # the workers' seeds: a function of the epoch, not of how it came about
                generator.manual_seed(trainer_seed(self.args) + epoch)
            return iter(loader)
        parts: tuple[Any, ...] = (loader, getattr(loader, "sampler", None), sampler)
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        iterator = iter(loader)
        for _ in islice(iterator, skip):
            pass
        return iterator

    # ---- one optimizer step ----------------------------------------------------------------------

    def _window(self, model: Any, window: list[Any], epoch: int, position: int) -> None:
        trainer, args, accelerator = self.trainer, self.args, self.accelerator
        state, handler = trainer.state, trainer.callback_handler
        trainer.control = handler.on_step_begin(args, state, trainer.control)
        shares, total = self._items(window, position)
        for index, inputs in enumerate(window):
            final = index == len(window) - 1
            accelerator.gradient_state._set_sync_gradients(final)
            trainer._share = (shares[index], total)
            quiet = (
                accelerator.no_sync(model) if not final and accelerator.num_processes > 1 else nullcontext()
            )
            with quiet:
                loss = call_training_step(trainer, model, inputs, total)
            self._add_loss(loss, len(window))
            count_work(trainer, inputs, real=shares[index] is not None)
            if not final:
                trainer.control = handler.on_substep_end(args, state, trainer.control)
        trainer._share = None
        self.grad_norm = trainer._clip_gradients(model)
        trainer.control = handler.on_pre_optimizer_step(args, state, trainer.control)
        trainer.optimizer.step()
        trainer.control = handler.on_optimizer_step(args, state, trainer.control)
        self.learning_rate = trainer.get_learning_rates()[0] if trainer.optimizer.param_groups else None
        if not accelerator.optimizer_step_was_skipped and not needs_metric(trainer.lr_scheduler):
            trainer.lr_scheduler.step()
        trainer._zero_grad()
        state.global_step += 1
        if trainer.average is not None and not accelerator.optimizer_step_was_skipped:
            trainer.average.update(state.global_step)
        per_epoch = self.length.batches or self.length.steps * args.gradient_accumulation_steps
        state.epoch = epoch + (position + len(window)) / per_epoch
        if args.torch_empty_cache_steps and state.global_step % args.torch_empty_cache_steps == 0:
            _empty_cache(accelerator.device)
        trainer.control = handler.on_step_end(args, state, trainer.control)
        self._after(epoch)

    def _items(self, window: list[Any], position: int) -> tuple[list[Any], Any]:
        """Items of each batch (None for a stand-in), and of the whole window over all processes."""
        trainer, accelerator = self.trainer, self.accelerator
        sampler = getattr(self.loader, "batch_sampler", None)
        shares: list[Any] = []
        for index, inputs in enumerate(window):
            stand_in = (
                accelerator.num_processes > 1
                and isinstance(sampler, TrainBatches)
                and sampler.real_items(position + index) == 0
            )
            shares.append(None if stand_in else _count(trainer, inputs))
        total: Any = sum(share for share in shares if share is not None)
        if accelerator.num_processes > 1 and self.args.average_tokens_across_devices:
            total = torch.as_tensor(
                total, dtype=torch.float64 if accelerator.device.type == "cpu" else torch.float32
            )
            total = accelerator.reduce(total.to(accelerator.device), "sum")
        if isinstance(total, Tensor):
            return shares, total.clamp(min=1)
        return shares, max(total, 1)

    def _add_loss(self, loss: Tensor, parts: int) -> None:
        trainer = self.trainer
        if self.args.logging_nan_inf_filter:
            # the mean since the last log stands in for a loss that is no number; no value leaves the device
            steps = 1 + trainer.state.global_step - trainer.state.step_of_last_log
            loss = torch.where(torch.isfinite(loss), loss, trainer._running_loss / (steps * parts))
        trainer._running_loss += loss

    # ---- what is due after a step ----------------------------------------------------------------

    def _after(self, epoch: int) -> None:
        """Log, evaluate and save as the control says."""
        trainer, args = self.trainer, self.args
        control, state = trainer.control, trainer.state
        if trainer._signalled():
            control.should_save = control.should_training_stop = True
        if control.should_log and state.global_step > state.step_of_last_log:
            self._log()
        if control.should_evaluate:
            better = trainer._evaluate_now(self.ignore_keys)
            if args.save_strategy == SaveStrategy.BEST:
                trainer.control.should_save = better
        if trainer.control.should_save:
            self._note_loss()
            trainer._save_checkpoint()
            trainer.control = trainer.callback_handler.on_save(args, state, trainer.control)

    def _note_loss(self) -> None:
        """Put the loss so far into the state, so that a resumed run reports the same."""
        self.trainer.state.loss_since_log = float(self.trainer._running_loss)

    def _log(self) -> None:
        trainer = self.trainer
        state = trainer.state
        loss = trainer._reduced(trainer._running_loss)
        steps = state.global_step - state.step_of_last_log
        state.loss_sum += loss
        trainer._running_loss.zero_()
        state.loss_since_log = 0.0
        state.step_of_last_log = state.global_step
        logs: dict[str, float] = {"loss": loss / steps}
        if self.grad_norm is not None:
            logs["grad_norm"] = float(self.grad_norm)
        if self.learning_rate is not None:
            logs["learning_rate"] = self.learning_rate
        trainer.store_flos()
        trainer._call_log(logs)

    def _finish(self, start: float) -> TrainOutput:
        trainer, args = self.trainer, self.args
        state = trainer.state
        loss = trainer._reduced(trainer._running_loss)
        steps = max(state.global_step, 1)
        mean = (state.loss_sum + loss) / steps
        done = state.global_step - self.first_step
        samples = done * args.gradient_accumulation_steps * trainer._global_batch_size
        if self.length.windows is not None:
            samples = round(done / self.length.windows * trainer.num_examples(self.loader))
        tokens = state.num_input_tokens_seen if args.include_tokens_per_second else None
        metrics = speed("train", start, samples, done, tokens)
        trainer.store_flos()
        metrics["total_flos"] = state.total_flos
        metrics["train_loss"] = mean
        metrics.update(trainer._memory.measured("train"))
        trainer.is_in_train = False
        trainer._call_log(metrics)
        if trainer.average is not None:
            trainer.average.settle()
            trainer.average = None
        if args.load_best_model_at_end and state.best_global_step is not None:
            resume.load_best(trainer)
        trainer.control = trainer.callback_handler.on_train_end(args, state, trainer.control)
        return TrainOutput(state.global_step, mean, metrics)


def trainer_seed(args: Any) -> int:
    """The seed of the order of examples."""
    return int(args.seed if args.data_seed is None else args.data_seed)


def _count(trainer: Trainer, inputs: Any) -> Any:
    if not hasattr(inputs, "items"):
        return count_examples(inputs)
    counted = count_items(inputs, trainer.label_names, trainer._shifted)
    if isinstance(counted, Tensor) and counted.device.type == "cpu":
        return int(counted)
    return counted


def _empty_cache(device: torch.device) -> None:
    backend = getattr(torch, device.type, None)
    if backend is not None and hasattr(backend, "empty_cache"):
        backend.empty_cache()
