"""A run: where one fit stands, and the loop over epochs and windows of batches, one optimizer step each."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from formers.core.atomic import refuse_unwritable
from formers.core.notices import notice
from formers.training.checkpointer import notice_changes
from formers.training.data.columns import has_length
from formers.training.data.loaders import Reproducible, data_seed
from formers.training.data.samplers import StreamShare, TrainBatches
from formers.training.evaluator import speed
from formers.training.files import clean_leftovers
from formers.training.inspection import find_label_loss
from formers.training.losses import LabelLoss
from formers.training.optim.ema import EMA
from formers.training.optim.optimizers import check_trainable
from formers.training.optim.schedulers import needs_metric
from formers.training.pitfalls import notice_waiting
from formers.training.seeds import apart, random_state, restore_random_state
from formers.training.state import TrainerState, TrainOutput, mean_loss
from formers.training.step import Batch, Step
from formers.training.watch import Signals, empty_cache


@dataclasses.dataclass
class Run:
    """Where one fit stands. Each `train` makes a new one, and the trainer keeps the last.

    Attributes:
        batch_size: examples of one process per batch.
        output_dir: where its checkpoints go.
        active: whether it is going on.
        loss: summed over the batches since the last log.
        lost: steps since then whose loss was no number, and the first of them.
        label_loss: the loss that the arguments ask for; None where the model's own counts.
        own_step: whether a script has both `training_step` and `compute_loss` of its own.
        normalised: whether the loss is divided by the items of its window, once that was tried out.
        ema: the moving average of the weights, with `ema_decay`.
        made: optimizer and schedule that it made, since none was given.
        flos: operations since they were last added to the state.
        dense_parameters: number of parameters that are no embeddings.
        generators: states that a resumed epoch begins with, and goes on with.
        generators_at_epoch: states at the beginning of this epoch.
        batch: the batch that is being trained on.
        signals: what was received of those that are waited for.
        items: of the batches of a window, as the loop counts them.
        saved: its last checkpoint.
        of_loader: generators of the loader and its samplers, where they have some of their own.
    """

    batch_size: int
    output_dir: str = ""
    active: bool = False
    loss: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(()))
    lost: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(2))
    label_loss: LabelLoss | None = None
    own_step: bool = False
    normalised: bool | None = None
    ema: EMA | None = None
    made: dict[str, Any] = dataclasses.field(default_factory=dict)
    flos: float = 0.0
    dense_parameters: int | None = None
    generators: dict[str, Any] | None = None
    generators_at_epoch: dict[str, Any] | None = None
    batch: Batch | None = None
    signals: Signals | None = None
    items: Callable[[list[Any]], list[Any]] | None = None
    saved: Path | None = None
    of_loader: list[torch.Generator] = dataclasses.field(default_factory=list)


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


class Hooks(NamedTuple):
    """The methods of a trainer that the loop calls and scripts override, but for the public ones."""

    wrap: Callable[[Any], Any]
    clip: Callable[[Any], Any]
    due: Callable[..., None]
    evaluate: Callable[..., Any]
    load_weights: Callable[[str], Any]
    load_optimizer: Callable[[str], Any]
    load_generators: Callable[[str], Any]
    load_best: Callable[[], Any]


class _Drawn(Iterator[Any]):
    """Batches of an epoch, and how many of it are gone."""

    def __init__(self, batches: Iterator[Any], count: int) -> None:
        self.batches, self.count, self.waited = batches, count, 0.0

    def __next__(self) -> Any:
        asked = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - asked
        self.count += 1
        return batch


class Loop:
    """Trains from the start or from a checkpoint to the end."""

    def __init__(self, trainer: Any, hooks: Hooks, trial: Any, ignore_keys: list[str] | None) -> None:
        self.trainer, self.hooks = trainer, hooks
        self.args, self.accelerator, self.now = trainer.args, trainer.accelerator, trainer.current_run
        self.trial, self.ignore_keys = trial, ignore_keys
        self.step = Step(trainer)
        self.loader = trainer.get_train_dataloader()
        self.length = Length.of(self.args, self.loader)
        self.learning_rate: float | None = None
        self.grad_norm: Tensor | float | None = None
        self.waited = 0.0  # seconds, for batches
        self.dataset, self.sampler = (getattr(self.loader, n, None) for n in ("dataset", "batch_sampler"))
        inner = (getattr(self.loader, "sampler", None), getattr(self.sampler, "sampler", None))
        # what decides which examples come when
        self.parts: tuple[Any, ...] = (
            self.loader,
            self.dataset,
            getattr(self.dataset, "dataset", None),
            self.sampler,
            *inner,
        )
        held = [getattr(part, "generator", None) for part in self.parts]
        self.now.of_loader = [found for found in held if isinstance(found, torch.Generator)]
        self.first_step = self.position = 0
        self._counted: tuple[list[Any], list[Any]] | None = None
        self.start = time.perf_counter()

    def run(self, checkpoint: str | None) -> TrainOutput:
        """Do all epochs."""
        trainer, args = self.trainer, self.args
        self.now.items = self.items
        model = self._prepare()
        trainer.state = self._new_state()
        epoch, skip = (0, 0) if checkpoint is None else self._resume(Path(checkpoint))
        state, handler = trainer.state, trainer.callback_handler
        if args.should_save:
            clean_leftovers(Path(self.now.output_dir))
            if args.save_strategy != "no":
                refuse_unwritable(Path(self.now.output_dir))
        self.first_step = state.global_step
        handler.model, handler.optimizer = trainer.model, trainer.optimizer
        handler.lr_scheduler, handler.train_dataloader = trainer.lr_scheduler, self.loader
        mine = self.step.share(state.loss_since_log)
        self.now.loss = torch.tensor(mine, device=self.accelerator.device)
        self.now.lost = torch.tensor(state.lost_since_log, device=self.accelerator.device)
        trainer.optimizer.zero_grad(set_to_none=True)
        self._tell("on_train_begin")
        if args.eval_on_start and checkpoint is None:
            self.hooks.evaluate(self.trial, self.ignore_keys, skip_scheduler=True)
        finished = state.global_step >= self.length.steps
        if finished:
            at = f"The checkpoint is at step {state.global_step}, the end of this run"
            notice(f"{'This run has no steps' if checkpoint is None else at}: nothing is left to train.")
            if checkpoint is not None and not state.epoch_closed:
                self._close(model)  # the run was cut off between its last step and its end
        while epoch < self.length.epochs and not (trainer.control.should_training_stop or finished):
            self._epoch(model, epoch, skip)
            skip, self.now.generators = 0, None
            epoch += 1
        return self._finish()

    def _prepare(self) -> Any:
        """Wrap the model for the processes of this run, and make optimizer and schedule."""
        trainer, args = self.trainer, self.args
        check_trainable(trainer.model)
        self.now.label_loss = find_label_loss(trainer)
        if args.activation_checkpointing:
            enable = getattr(trainer.model, "gradient_checkpointing_enable", None)
            if enable is None:
                raise ValueError(
                    f"{type(trainer.model).__name__} cannot checkpoint activations: leave "
                    "activation_checkpointing out"
                )
            options = args.activation_checkpointing_kwargs
            enable(gradient_checkpointing_kwargs=options) if options else enable()
        model = self.hooks.wrap(trainer.model)
        model.train()
        self.now.made = {
            name: None for name in ("optimizer", "lr_scheduler") if getattr(trainer, name) is None
        }
        trainer.create_optimizer_and_scheduler(num_training_steps=self.length.steps)
        if self.accelerator.is_fsdp2:
            model, trainer.optimizer = self.accelerator.prepare(model, trainer.optimizer)
        elif not trainer.is_plain:
            trainer.optimizer = self.accelerator.prepare_optimizer(trainer.optimizer, device_placement=False)
        self.now.made = {name: getattr(trainer, name) for name in self.now.made}
        trainer.model_wrapped = model
        if args.ema_decay is not None:
            if trainer.is_sharded:
                raise ValueError("ema_decay needs whole weights in each process: leave FSDP or DeepSpeed out")
            self.now.ema = EMA(trainer.model, args.ema_decay)
        return model

    def _tell(self, event: str) -> None:
        trainer = self.trainer
        trainer.control = getattr(trainer.callback_handler, event)(self.args, trainer.state, trainer.control)

    def _new_state(self) -> TrainerState:
        args, steps, earlier = self.args, self.length.steps, self.trainer.state

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
            train_batch_size=self.now.batch_size,
            batch_examples=self._examples,
            is_local_process_zero=self.trainer.is_local_process_zero(),
            is_world_process_zero=self.trainer.is_world_process_zero(),
            is_hyper_param_search=earlier.is_hyper_param_search,
            trial_name=earlier.trial_name,
            trial_params=earlier.trial_params,
        )

    def _resume(self, checkpoint: Path) -> tuple[int, int]:
        """Load a checkpoint; returns its epoch, and how many batches of it are done."""
        trainer, args, new = self.trainer, self.args, self.trainer.state
        saved = TrainerState.of_checkpoint(checkpoint, new)
        self.hooks.load_weights(str(checkpoint))
        self.hooks.load_optimizer(str(checkpoint))
        if saved is None:
            return 0, 0
        trainer.state = saved
        notice_changes(checkpoint, saved, args, self.length.batches, self._examples)
        trainer.callback_handler.restore(saved, args.restore_callback_states_from_checkpoint)
        trainer.control.new_training()
        self.hooks.load_generators(str(checkpoint))
        if saved.epoch_number is None:
            epoch, windows = divmod(saved.global_step, self.length.windows or sys.maxsize)
            skip = windows * args.gradient_accumulation_steps
        elif saved.epoch_closed:
            epoch, skip = saved.epoch_number + 1, 0
        else:
            epoch, skip = saved.epoch_number, math.ceil(saved.epoch_examples / self._examples)
        if args.ignore_data_skip:
            return epoch + (skip >= (self.length.batches or sys.maxsize)), 0
        return epoch, skip

    @property
    def _examples(self) -> int:
        """Of a batch over all processes."""
        return int(self.trainer.get_total_train_batch_size()) // int(self.args.gradient_accumulation_steps)

    # ---- epochs ----------------------------------------------------------------------------------

    def _epoch(self, model: Any, epoch: int, skip: int) -> None:
        trainer, args, states = self.trainer, self.args, self.now.generators
        if states is not None:
            began = states.get("epoch_begin") if skip else None
            restore_random_state(states["now"] if began is None else began, self.now.of_loader)
        self.now.generators_at_epoch = random_state(self.now.of_loader)
        batches = self._batches(epoch, skip)
        if states is not None:
            restore_random_state(states["now"])
        trainer.state.epoch_closed = False
        self._tell("on_epoch_begin")
        drawn, device = _Drawn(batches, skip), self.accelerator.device
        while True:
            self.position = drawn.count
            window, total = trainer.get_batch_samples(drawn, args.gradient_accumulation_steps, device)
            if not window:
                break
            # of a stream that tells its length, workers may cut more batches
            told = None if isinstance(self.dataset, StreamShare) else self.length.batches
            last = told is not None and drawn.count >= told
            self._window(model, window, total, epoch, drawn.count)
            if last or trainer.control.should_epoch_stop or trainer.control.should_training_stop:
                break
        if drawn.count == 0:
            notice(
                f"The training set gave no batch in epoch {epoch}; training stops at step "
                f"{trainer.state.global_step} of {self.length.steps}."
            )
            trainer.control.should_training_stop = True
        self.waited += drawn.waited
        self._close(model)

    def _close(self, model: Any) -> None:
        """The end of an epoch, and what is due then."""
        self.trainer.state.epoch_closed = True
        self._tell("on_epoch_end")
        self._due(model)

    def _batches(self, epoch: int, skip: int) -> Iterator[Any]:
        """Batches of an epoch past the first `skip`; our own sampler skips without touching an example."""
        seed = data_seed(self.args) + epoch
        for part in self.parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        if isinstance(self.dataset, (Reproducible, StreamShare)):
            self.dataset.epoch.fill_(epoch)
            # the workers' seeds: a function of the epoch, not of how it came about
            self.loader.generator.manual_seed(seed)
        if isinstance(self.sampler, TrainBatches):
            self.sampler.skip, skip = skip, 0
        stream = isinstance(self.dataset, IterableDataset)
        iterator: Iterator[Any] = apart(self.loader, seed) if stream else iter(self.loader)
        for _ in islice(iterator, skip):
            pass
        return iterator

    # ---- one optimizer step ----------------------------------------------------------------------

    def items(self, window: list[Any]) -> list[Any]:
        """Items of each batch of the window that is next; None for one that only keeps step with others."""
        if self._counted is None or self._counted[0] is not window:
            several, sampler = self.accelerator.num_processes > 1, self.sampler
            real = sampler.real_items if several and isinstance(sampler, TrainBatches) else lambda step: 1
            counts = [
                self.step.items(inputs) if real(self.position + index) else None
                for index, inputs in enumerate(window)
            ]
            self._counted = (window, counts)
        return self._counted[1]

    def _window(self, model: Any, window: list[Any], total: Any, epoch: int, drawn: int) -> None:
        trainer, args, accelerator, state = self.trainer, self.args, self.accelerator, self.trainer.state
        self._tell("on_step_begin")
        items = self.items(window)
        # no example counts: no gradient, and no loss that were a number
        empty = accelerator.num_processes == 1 and all(isinstance(n, int) and n == 0 for n in items)
        for index, (inputs, mine) in enumerate(zip(window, items, strict=True)):
            final = index == len(window) - 1
            accelerator.sync_gradients = final
            quiet = (
                accelerator.no_sync(model) if not final and accelerator.num_processes > 1 else nullcontext()
            )
            with quiet:
                loss = self.step.train(model, inputs, Batch(mine, total, len(window)))
            self._add_loss(loss * math.nan if empty else loss, len(window))
            if mine is not None:
                self.step.count_work(inputs)
            if not final:
                self._tell("on_substep_end")
        self.grad_norm = self.hooks.clip(model)
        self._tell("on_pre_optimizer_step")
        trainer.optimizer.step()
        self._tell("on_optimizer_step")
        groups, skipped = trainer.optimizer.param_groups, accelerator.optimizer_step_was_skipped
        self.learning_rate = float(groups[0]["lr"]) if groups else None
        if not skipped and not needs_metric(trainer.lr_scheduler):
            trainer.lr_scheduler.step()
        trainer.optimizer.zero_grad(set_to_none=True)
        state.global_step += 1
        if self.now.ema is not None and not skipped:
            self.now.ema.update(state.global_step)
        state.epoch_number, state.epoch_examples = epoch, drawn * self._examples
        per_epoch = self.length.batches or self.length.steps * args.gradient_accumulation_steps
        state.epoch = epoch + drawn / per_epoch
        if args.torch_empty_cache_steps and state.global_step % args.torch_empty_cache_steps == 0:
            empty_cache(accelerator.device)
        self._tell("on_step_end")
        self._due(model)

    def _add_loss(self, loss: Tensor, parts: int) -> None:
        # no value leaves an accelerator before a log
        if loss.device.type != "cpu" or not math.isfinite(loss.item()):
            known, first = torch.isfinite(loss), self.now.lost[1]
            self.now.lost[0] += torch.where(known, 0.0, 1.0 / parts)
            step = float(self.trainer.state.global_step + 1)
            self.now.lost[1] = torch.where(known | (first > 0), first, step)
            if self.args.logging_nan_inf_filter:
                loss = torch.where(known, loss, 0.0)
        self.now.loss += loss

    # ---- what is due after a step ----------------------------------------------------------------

    def _due(self, model: Any) -> None:
        """Log, evaluate and save as the control says."""
        control, state = self.trainer.control, self.trainer.state
        if self._signalled():
            control.should_save = control.should_training_stop = True
        self.hooks.due(
            self.now.loss,
            self.grad_norm,
            model,
            self.trial,
            state.epoch,
            self.ignore_keys,
            self.start,
            learning_rate=self.learning_rate,
        )

    def _signalled(self) -> bool:
        if self.now.signals is None:
            return False
        received = self.now.signals.received is not None
        if self.accelerator.num_processes == 1:
            return received
        flag = torch.tensor(float(received), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)  # all stop at the same step

    def _finish(self) -> TrainOutput:
        trainer, args, state = self.trainer, self.args, self.trainer.state
        total, lost = state.loss_sum + self.step.reduced(self.now.loss), state.lost + self.step.taken_lost()
        mean = mean_loss(total, state.global_step, lost)
        done = state.global_step - self.first_step
        samples = done * trainer.get_total_train_batch_size()
        if self.length.windows is not None:
            samples = round(done / self.length.windows * trainer.num_examples(self.loader))
        tokens = state.num_input_tokens_seen if args.include_tokens_per_second else None
        metrics = speed("train", self.start, samples, done, tokens)
        notice_waiting(self.waited, metrics["train_runtime"], args.dataloader_num_workers)
        trainer.store_flos()
        metrics["total_flos"] = state.total_flos
        metrics["train_loss"] = mean
        metrics.update(trainer.memory_watch.measured("train"))
        self.now.active = False
        trainer.log(metrics)
        if self.now.ema is not None:
            self.now.ema.settle()
            self.now.ema = None
        if args.load_best_model_at_end and state.best_global_step is not None:
            self.hooks.load_best()
        elif args.load_best_model_at_end:
            notice(
                f"No evaluation of this run gave a number for {args.metric_for_best_model!r}, so there is no "
                "best model to load: the model stays as the last step left it."
            )
        self._tell("on_train_end")
        return TrainOutput(state.global_step, mean, metrics)
