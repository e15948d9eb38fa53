"""`Trainer`: fit, judge and save a model; every step can be overridden."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Sampler

from formers.core.notices import refuse_unknown
from formers.training import cards, files, hooks, inspection, reports
from formers.training.arguments import TrainingArguments
from formers.training.callbacks.base import CallbackHandler, TrainerCallback, improves, watched_metric
from formers.training.callbacks.defaults import default_callbacks
from formers.training.checkpointer import Checkpointer
from formers.training.choices import HubStrategy, SaveStrategy
from formers.training.data import loaders
from formers.training.data.columns import ColumnFilter, filtered, has_length
from formers.training.data.samplers import StreamShare
from formers.training.evaluator import Evaluator, predict_batch, timed
from formers.training.fitting import fit
from formers.training.optim import optimizers
from formers.training.optim.schedulers import get_scheduler, needs_metric
from formers.training.parallelism import Parallelism
from formers.training.processes import loader_config, make_accelerator, spread
from formers.training.publisher import Publisher, write_model
from formers.training.results import made_plain, to_device
from formers.training.run import Hooks, Loop, Run
from formers.training.search import search
from formers.training.seeds import seed_as
from formers.training.state import (
    STATE,
    EvalLoopOutput,
    EvalPrediction,
    PredictionOutput,
    TrainerControl,
    TrainerState,
    TrainOutput,
)
from formers.training.step import Step
from formers.training.watch import MemoryWatch

Metrics = Callable[[EvalPrediction], dict[str, Any]]


class Trainer(Parallelism):
    """Fits a model to a dataset, on one process or several (`accelerate launch`), and judges it.

    Any method may be overridden. Those whose names begin with an underscore are the ecosystem's, under the
    names that scripts override; a subclass that defines one of the ecosystem's that is never called here is
    refused.

    Args:
        model: a model of this library, or any `nn.Module` whose forward returns a loss first or as `loss`.
        args: how to train; defaults with `output_dir="tmp_trainer"`.
        data_collator: makes a batch from examples; pads with the tokenizer where one is given.
        train_dataset: sequence or stream of dicts: lists, torch datasets, `datasets.Dataset`.
        eval_dataset: the same, or a dict of them, each judged under its name.
        processing_class: tokenizer or processor (older name: `tokenizer`), saved with the model.
        model_init: makes the model, in place of `model`; called at the start of every `train`.
        compute_loss_func: `f(outputs, labels, num_items_in_batch)` in place of the model's loss.
        compute_metrics: `f(EvalPrediction) -> dict`.
        callbacks: added to those of `default_callbacks`.
        optimizers: an optimizer and a scheduler of one's own; either may be None.
        optimizer_cls_and_kwargs: a class and its keywords, applied to the usual parameter groups.
        preprocess_logits_for_metrics: `f(logits, labels)`, called per batch, to keep less of the logits.

    Attributes:
        loss_is_normalised: whether a loss of one's own (`compute_loss`, `compute_loss_func`) is divided by
            `num_items_in_batch`; False where it is the mean over its batch. None finds out from what it does
            with the number.
        current_run: where the fit stands that is going on, or how the last one ended.
        label_smoother: what older overrides of `compute_loss` smooth with; None where nothing is smoothed.
        state: counters and history of that fit, as they go into checkpoints.
        control: what shall be done next.
        accelerator: the processes.
        bare_model: the model without an adapter around it.
        model_wrapped: the model as wrapped for the processes.
    """

    loss_is_normalised: bool | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hooks.refuse_never_called(cls)

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        data_collator: Callable[[list[Any]], Any] | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable[..., nn.Module] | None = None,
        compute_loss_func: Callable[..., Tensor] | None = None,
        compute_metrics: Metrics | None = None,
        callbacks: list[TrainerCallback | type[TrainerCallback]] | None = None,
        optimizers: tuple[Optimizer | None, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[type[Optimizer], dict[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
        **older: Any,
    ) -> None:
        refuse_unknown(older, [*inspect.signature(Trainer).parameters, "tokenizer"], "Trainer")
        processing_class = inspection.processing_class_of(processing_class, older)
        inspection.check_kinds(model, model_init, args, compute_metrics, callbacks, optimizers)
        self.args = args = args or TrainingArguments("tmp_trainer")
        seed_as(args)
        self.memory_watch = MemoryWatch(not args.skip_memory_metrics)
        self.accelerator: Any = None
        self.create_accelerator_and_postprocess()
        self.loader_config = loader_config(args)
        self.model_init = model_init
        self.model: Any = None
        self._take_model(model if model is not None else self.call_model_init())
        self.data_collator = data_collator or loaders.default_collator(processing_class)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.label_smoother = inspection.label_smoother(args)
        self.optimizer: Any
        self.optimizer, self.lr_scheduler = optimizers
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        inspection.check(self, self.model_facts, type(self).compute_loss is not Trainer.compute_loss)
        called = [*default_callbacks(args), *(callbacks or [])]
        self.callback_handler = CallbackHandler(called, self.model, processing_class, *optimizers)
        self.control = TrainerControl()
        self.state = TrainerState()
        self.state.is_local_process_zero = self.is_local_process_zero()
        self.state.is_world_process_zero = self.is_world_process_zero()
        self.current_run = Run(args.train_batch_size)
        self.publisher = Publisher(args)
        self.hub_model_id: str | None = None
        if args.push_to_hub:
            self.init_hf_repo()
        if args.should_save:
            os.makedirs(str(args.output_dir), exist_ok=True)
        self.control = self.callback_handler.on_init_end(args, self.state, self.control)

    # ---- set-up ----------------------------------------------------------------------------------

    def create_accelerator_and_postprocess(self) -> None:
        """Make the accelerator."""
        self.accelerator = make_accelerator(self.args)

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """Make a model with `model_init`, which takes nothing or the trial of a search."""
        return inspection.made_model(self.model_init, trial)

    def remake_model(self, trial: Any = None) -> None:
        """Start over with a new model of `model_init`."""
        seed_as(self.args)
        self._take_model(self.call_model_init(trial))
        self.optimizer, self.lr_scheduler = None, None

    def _take_model(self, model: nn.Module) -> None:
        if len(set((getattr(model, "hf_device_map", None) or {}).values())) < 2:  # else it lies on several
            if not (self.args.fsdp or self.args.deepspeed):
                self._move_model_to_device(model, self.accelerator.device)
            inspection.use_cache(model, self.args.use_cache)
        self.model = self.model_wrapped = model
        self.model_facts = facts = inspection.Facts.of(self.bare_model, self.args)
        self.label_names, self.can_return_loss = facts.label_names, facts.can_return_loss
        self.model_accepts_loss_kwargs, self.shifts_labels = facts.accepts_loss_kwargs, facts.shifts_labels
        self._signature_columns: list[str] | None = None

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        model.to(device)

    @property
    def bare_model(self) -> nn.Module:
        """The model without an adapter around it."""
        inner = getattr(self.model, "get_base_model", None)
        bare: nn.Module = inner() if callable(inner) else self.model
        return bare

    @property
    def tokenizer(self) -> Any:
        """Older name of `processing_class`."""
        return self.processing_class

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        self.processing_class = tokenizer

    @property
    def is_in_train(self) -> bool:
        """Whether a fit is going on."""
        return self.current_run.active

    @is_in_train.setter
    def is_in_train(self, active: bool) -> None:
        self.current_run.active = active

    @property
    def _train_batch_size(self) -> int:
        return self.current_run.batch_size

    @_train_batch_size.setter
    def _train_batch_size(self, batch_size: int) -> None:
        self.current_run.batch_size = batch_size

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds a part of the model."""
        return str(getattr(self.accelerator.distributed_type, "value", "")) in ("FSDP", "DEEPSPEED")

    @property
    def is_plain(self) -> bool:
        """Whether torch's own backward and step do; accelerate's cost milliseconds."""
        return self.accelerator.scaler is None and not self.is_sharded

    def is_local_process_zero(self) -> bool:
        """Whether this is the first process of its machine."""
        return self.args.local_process_index == 0

    def is_world_process_zero(self) -> bool:
        """Whether this is the first process of all."""
        return self.args.process_index == 0

    @property
    def _global_batch_size(self) -> int:
        processes = 1 if self.loader_config["split_batches"] else int(self.accelerator.num_processes)
        return self.current_run.batch_size * processes

    def get_total_train_batch_size(self, args: TrainingArguments | None = None) -> int:
        """Examples per optimizer step, over all processes and the accumulation window."""
        return self._global_batch_size * (args or self.args).gradient_accumulation_steps // self.get_tp_size()

    def add_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Add a callback or the class of one."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> TrainerCallback | None:
        """Remove a callback and return it."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Remove a callback."""
        self.callback_handler.remove_callback(callback)

    def end(self) -> None:
        """Leave the other processes, at the very end of a script."""
        self.accelerator.end_training()

    # ---- data ------------------------------------------------------------------------------------

    def _set_signature_columns_if_needed(self) -> None:
        """Say in `_signature_columns` which columns the collator gets; None for all."""
        if self._signature_columns is None and self.model_facts.columns is not None:
            self._signature_columns = [*self.model_facts.columns, *self.label_names, "label", "label_ids"]

    def _get_collator_with_removed_columns(
        self, data_collator: Callable[[list[Any]], Any], description: str | None = None
    ) -> Callable[[list[Any]], Any]:
        if not self.args.remove_unused_columns:
            return data_collator
        self._set_signature_columns_if_needed()
        columns, name = self._signature_columns, type(self.bare_model).__name__
        return data_collator if columns is None else ColumnFilter(data_collator, columns, name)

    @hooks.for_callers
    def _remove_unused_columns(self, dataset: Any, description: str | None = None) -> Any:
        return filtered(dataset, self._get_collator_with_removed_columns(self.data_collator, description))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """The order of the training examples: indices; None for a stream, and for the dataset's own."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return loaders.train_sampler(self, dataset)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        """An order of evaluation examples; None for the dataset's, whichever is the quickest way to it."""
        return None

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader of the training set, for this process's share of the batches."""
        if self.train_dataset is None:
            raise ValueError("training needs a train_dataset")
        collate = self._get_collator_with_removed_columns(self.data_collator, "training")
        return loaders.train_loader(self, self.train_dataset, self._get_train_sampler(), collate)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """The loader of `eval_dataset` (a dataset, or a name in the dict given to the trainer)."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        if dataset is None:
            raise ValueError("evaluation needs an eval_dataset: pass one to Trainer or to evaluate()")
        return self._eval_loader(dataset, "evaluation")

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """The loader of a test set."""
        if test_dataset is None:
            raise TypeError("predict needs a dataset, got None")
        return self._eval_loader(test_dataset, "test")

    def _eval_loader(self, dataset: Any, description: str) -> DataLoader[Any]:
        collate = self._get_collator_with_removed_columns(self.data_collator, description)
        return loaders.eval_loader(self, dataset, self._get_eval_sampler(dataset), collate)

    def num_examples(self, dataloader: Any) -> int:
        """Examples that a loader goes through."""
        dataset: Any = getattr(dataloader, "dataset", None)
        if has_length(dataset):
            return len(dataset.dataset if isinstance(dataset, StreamShare) else dataset)
        return len(dataloader) * self._global_batch_size

    # ---- optimizer and schedule ------------------------------------------------------------------

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that decay: all but biases and norms."""
        return optimizers.decay_parameter_names(model)

    @staticmethod
    def get_optimizer_cls_and_kwargs(
        args: TrainingArguments, model: nn.Module | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The class and the keywords that the arguments name."""
        return optimizers.optimizer_class(args, model)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Make the optimizer, unless there is one."""
        if self.optimizer is None:
            model = model or self.model
            decayed = self.get_decay_parameter_names(model)
            groups = optimizers.parameter_groups(
                model, self.args.weight_decay, decayed, self.args.head_learning_rate
            )
            named = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = optimizers.made(named, groups)
        return cast(Optimizer, self.optimizer)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """Make the schedule, unless there is one."""
        if self.lr_scheduler is None:
            name, options = self.args.lr_scheduler_type, cast(Any, self.args.lr_scheduler_kwargs)
            warmup, steps = self.args.get_warmup_steps(num_training_steps), num_training_steps
            self.lr_scheduler = get_scheduler(name, optimizer or self.optimizer, warmup, steps, options)
        return self.lr_scheduler

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Make both."""
        self.create_optimizer()
        self.create_scheduler(num_training_steps=num_training_steps, optimizer=self.optimizer)

    def get_num_trainable_parameters(self) -> int:
        """Number of parameters that require a gradient."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def get_learning_rates(self) -> list[float]:
        """The rate of each parameter group."""
        return [float(group["lr"]) for group in optimizers.groups_of(self.optimizer)]

    def get_optimizer_group(self, param: str | nn.Parameter | None = None) -> Any:
        """The group that holds `param`, or all groups."""
        groups = optimizers.groups_of(self.optimizer)
        if param is None:
            return [group["params"] for group in groups]
        return next((g for g in groups if any(param is entry for entry in g["params"])), None)

    # ---- training --------------------------------------------------------------------------------

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
        **older: Any,
    ) -> TrainOutput:
        """Train to the end; returns steps, mean loss and measurements.

        Args:
            resume_from_checkpoint: True for the newest checkpoint in `output_dir`, or the path of one: the
                run goes on as if it had never stopped, bit for bit on a CPU in float32.
            trial: of a hyperparameter search.
            ignore_keys_for_eval: outputs of the model that evaluations leave out.
            older: `model_path`, the older name of `resume_from_checkpoint`.
        """
        known = ["resume_from_checkpoint", "trial", "ignore_keys_for_eval", "model_path"]
        refuse_unknown(older, known, "Trainer.train")
        wanted = older.get("model_path") if resume_from_checkpoint is None else resume_from_checkpoint
        return fit(self, self._inner_training_loop, wanted or None, trial, ignore_keys_for_eval)

    def _inner_training_loop(
        self,
        batch_size: int | None = None,
        args: TrainingArguments | None = None,
        resume_from_checkpoint: str | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """One run over all epochs, with batches of `batch_size` examples."""
        self.current_run.batch_size = batch_size or self.current_run.batch_size
        self.current_run.output_dir = self._get_output_dir(trial)
        self.current_run.own_step = inspection.is_own(self, Trainer, "training_step", "compute_loss")
        called = Hooks(
            wrap=self._wrap_model,
            clip=self._clip_grad_norm,
            due=self._maybe_log_save_evaluate,
            evaluate=self._evaluate,
            load_weights=self._load_from_checkpoint,
            load_optimizer=self._load_optimizer_and_scheduler,
            load_generators=self._load_rng_state,
            load_best=self._load_best_model,
        )
        return Loop(self, called, trial, ignore_keys_for_eval).run(resume_from_checkpoint)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> nn.Module:
        """Compile the model and spread it over the processes, for training."""
        return spread(model, self.args, self.accelerator, self.is_sharded) if training else model

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: Any = None
    ) -> tuple[list[Any], Any]:
        """The batches of the next optimizer step, and the items of all of them over all processes."""
        window, step = list(islice(epoch_iterator, num_batches)), Step(self)
        count = self.current_run.items or (lambda batches: [step.items(inputs) for inputs in batches])
        return window, step.total(count(window))

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> AbstractContextManager[Any]:
        """The block in which mixed precision applies."""
        return self.accelerator.autocast()  # type: ignore[no-any-return]

    def compute_loss_context_manager(self) -> AbstractContextManager[Any]:
        """The block in which losses are computed."""
        return self.autocast_smart_context_manager()

    def _prepare_input(self, data: Any) -> Any:
        return to_device(data, self.accelerator.device, self.loader_config["non_blocking"])

    def _prepare_inputs(self, inputs: Any) -> Any:
        """A batch on the device of the model."""
        prepared = self._prepare_input(inputs)
        if hasattr(prepared, "__len__") and len(prepared) == 0:
            raise ValueError(f"a batch came without any input the model takes: {self.model_facts.columns}")
        return prepared

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward for one batch; returns its detached share of the step's loss.

        Args:
            model: the model, as wrapped for this run.
            inputs: one batch.
            num_items_in_batch: items of the whole accumulation window over all processes; the shares of its
                batches add up to the mean over them.
        """
        inputs = self._prepare_inputs(inputs)
        step = Step(self)
        with self.compute_loss_context_manager():
            loss = step.loss(model, inputs, num_items_in_batch)
        step.backward(loss)
        return loss.detach()

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch; override it for a loss of one's own.

        An override may return the mean over its batch: the loop weighs it by the batch's items. One that
        divides by `num_items_in_batch` itself is left as it is. See `loss_is_normalised`.

        Returns:
            The loss, a scalar; with `return_outputs=True` a pair with the outputs.
        """
        loss, outputs = Step(self).compute_loss(model, inputs, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Bound the norm of the gradient by `max_grad_norm`; returns the norm as it was."""
        return Step(self).clip(model)

    def floating_point_ops(self, inputs: Any) -> float:
        """Operations of one step on a batch: the model's own estimate, else 6 x parameters x tokens."""
        return Step(self).floating_point_ops(inputs)

    def store_flos(self) -> None:
        """Add what was counted since the last call to the state, over all processes."""
        self.state.total_flos += Step(self).taken_flos()

    def _maybe_log_save_evaluate(
        self,
        tr_loss: Tensor,
        grad_norm: Any,
        model: nn.Module,
        trial: Any,
        epoch: float | None,
        ignore_keys_for_eval: list[str] | None,
        start_time: float,
        learning_rate: float | None = None,
    ) -> None:
        """Do what is due after a step: log, evaluate and save, as `control` says.

        Args:
            tr_loss: the loss summed since the last log, set to 0 in place by a log.
            grad_norm: of the last step; None where nothing clips.
            model: as wrapped for this run.
            trial: of a hyperparameter search.
            epoch: how many are done.
            ignore_keys_for_eval: outputs of the model that evaluations leave out.
            start_time: of the run.
            learning_rate: of the last step.
        """
        if self.control.should_log and self.state.global_step > self.state.step_of_last_log:
            self.store_flos()
            self.log(Step(self).logs(tr_loss, grad_norm, learning_rate))
        if self.control.should_evaluate:
            better = self._determine_best_metric(self._evaluate(trial, ignore_keys_for_eval), trial)
            if self.args.save_strategy == SaveStrategy.BEST:
                self.control.should_save = better
        if self.control.should_save:
            self._save_checkpoint(model, trial)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _evaluate(
        self, trial: Any, ignore_keys_for_eval: list[str] | None, skip_scheduler: bool = False
    ) -> dict[str, float]:
        """Evaluate during training, and tell a schedule that follows the watched metric."""
        metrics = self.evaluate(ignore_keys=ignore_keys_for_eval)
        value = watched_metric(self.args, metrics, needed=True)
        if value is not None and needs_metric(self.lr_scheduler) and not skip_scheduler:
            self.lr_scheduler.step(value)
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether the watched metric is the best so far; the state then says so."""
        value = watched_metric(self.args, metrics)
        if value is None or not improves(self.args, value, self.state.best_metric):
            return False
        self.state.best_metric = value
        self.state.best_global_step = self.state.global_step
        return True

    # ---- evaluation ------------------------------------------------------------------------------

    def averaged(self) -> AbstractContextManager[None]:
        """The model has the average for its weights in this block, in a run with `ema_decay`."""
        return nullcontext() if self.current_run.ema is None else self.current_run.ema.in_place()

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Judge the model; returns metrics whose names start with `metric_key_prefix`.

        Args:
            eval_dataset: in place of the trainer's; a dict is judged set by set, `eval_<name>_...`.
            ignore_keys: outputs of the model that are left out of the predictions.
            metric_key_prefix: "eval" unless given.
        """
        chosen = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, dict):
            metrics: dict[str, float] = {}
            for name, part in chosen.items():
                given = part if eval_dataset is not None else name
                metrics.update(self.evaluate(given, ignore_keys, f"{metric_key_prefix}_{name}"))
            return metrics
        start, loader = time.perf_counter(), self.get_eval_dataloader(eval_dataset)
        loss_only = True if self.compute_metrics is None else None
        how = {"ignore_keys": ignore_keys, "metric_key_prefix": metric_key_prefix}
        output = self.prediction_loop(loader, "Evaluation", prediction_loss_only=loss_only, **how)
        metrics = timed(output, loader, metric_key_prefix, start)
        metrics.update(self.memory_watch.measured(metric_key_prefix))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics=metrics)
        return metrics

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predictions for a dataset, in its order, with labels and metrics where it has labels."""
        start, loader = time.perf_counter(), self.get_test_dataloader(test_dataset)
        how = {"ignore_keys": ignore_keys, "metric_key_prefix": metric_key_prefix}
        output = self.prediction_loop(loader, "Prediction", prediction_loss_only=False, **how)
        metrics = timed(output, loader, metric_key_prefix, start)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics=metrics)
        return PredictionOutput(output.predictions, output.label_ids, metrics)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Run the model over a loader and collect losses, predictions and metrics."""
        model = self.model_wrapped if self.is_sharded else self._wrap_model(self.model, training=False)
        return Evaluator(self, prediction_loss_only, ignore_keys).run(model, dataloader, metric_key_prefix)

    def prediction_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Older name of `evaluation_loop`, which it calls."""
        return self.evaluation_loop(*args, **kwargs)

    @torch.no_grad()
    def prediction_step(
        self, model: nn.Module, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor | None, Any, Any]:
        """Loss, logits and labels of one batch; what is missing is None."""
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            return predict_batch(self, model, inputs, prediction_loss_only, ignore_keys)

    # ---- logging ---------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put numbers into the history and hand them to the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        if self.args.include_num_input_tokens_seen != "no":
            logs["num_input_tokens_seen"] = self.state.num_input_tokens_seen
        self.state.log_history.append({**made_plain(logs), "step": self.state.global_step})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs=logs)

    def metrics_format(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Metrics as people read them: times, sizes, four decimals."""
        return reports.readable(metrics)

    def log_metrics(self, split: str, metrics: dict[str, Any]) -> None:
        """Print metrics as a table, on the first process."""
        if self.is_world_process_zero():
            reports.print_metrics(split, self.metrics_format(metrics))

    def save_metrics(self, split: str, metrics: dict[str, Any], combined: bool = True) -> None:
        """Write `<split>_results.json`, and add to `all_results.json`."""
        if self.is_world_process_zero():
            reports.write_metrics(Path(str(self.args.output_dir)), split, metrics, combined)

    def save_state(self) -> None:
        """Write `trainer_state.json` into `output_dir`."""
        if self.is_world_process_zero():
            self.state.save_to_json(Path(str(self.args.output_dir)) / STATE)

    # ---- saving ----------------------------------------------------------------------------------

    def _get_output_dir(self, trial: Any = None) -> str:
        name = self.state.trial_name
        return str(Path(str(self.args.output_dir)) / name) if name else str(self.args.output_dir)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, the tokenizer or processor, and the arguments to a folder.

        Reload with `from_pretrained(folder)`. Only the first process writes.
        """
        weights = self.accelerator.get_state_dict(self.model_wrapped) if self.is_sharded else None
        if self.args.should_save:
            self._save(output_dir or str(self.args.output_dir), state_dict=weights)
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save")

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write what `save_model` promises; called on the process that writes."""
        write_model(self, Path(output_dir or str(self.args.output_dir)), state_dict)

    def _save_checkpoint(self, model: nn.Module, trial: Any, metrics: Any = None) -> None:
        """Write `checkpoint-<step>`, drop what is past `save_total_limit`, and upload where asked for.

        Older subclasses pass `metrics` on; which checkpoint is best is settled before.
        """
        parts = (self._save_optimizer_and_scheduler, self._save_rng_state)
        wanted = () if self.args.save_only_model else parts
        folder = Checkpointer(self).save(self._get_output_dir(trial), wanted)
        if self.args.should_save:
            self._rotate_checkpoints(output_dir=str(folder.parent))
        if self.args.push_to_hub and self.args.hub_strategy != HubStrategy.END:
            self._push_from_checkpoint(str(folder))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        Checkpointer(self).save_optimizer(Path(output_dir))

    def _save_rng_state(self, output_dir: str) -> None:
        Checkpointer(self).save_generators(Path(output_dir))

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:
        folder, best = Path(output_dir or self._get_output_dir()), self.state.best_model_checkpoint
        files.rotate(folder, self.args.save_total_limit, best, self.current_run.saved)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Take the weights of a checkpoint."""
        Checkpointer(self).load_model(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str) -> None:
        Checkpointer(self).load_optimizer(Path(checkpoint))

    def _load_rng_state(self, checkpoint: str) -> None:
        """Put into `run.generators` what the resumed epoch begins and goes on with."""
        self.current_run.generators = Checkpointer(self).read_generators(Path(checkpoint))

    def _load_best_model(self) -> None:
        Checkpointer(self).load_best()

    # ---- the Hub ---------------------------------------------------------------------------------

    def init_hf_repo(self, token: str | None = None) -> None:
        """Decide under which name uploads go to the Hub."""
        self.hub_model_id = self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name

    def create_model_card(self, **details: Any) -> None:
        """Write a README.md with how the model was trained and what it scored.

        Args:
            details: any of `language`, `license`, `tags`, `model_name`, `finetuned_from`, `tasks`,
                `dataset_tags`, `dataset`, `dataset_args`.
        """
        if self.is_world_process_zero():
            cards.write_card(self, details)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **details: Any,
    ) -> str | None:
        """Save, write the model card and upload `output_dir`; returns the address of the commit.

        Args:
            commit_message: of the upload.
            blocking: wait for the end of the upload; else None is returned at once.
            token: an access token, in place of `hub_token`.
            revision: a branch, in place of `hub_revision`.
            details: for the model card, see `create_model_card`.
        """
        known = (*cards.DETAILS, "commit_message", "blocking", "token", "revision")
        refuse_unknown(details, known, "Trainer.push_to_hub")
        if self.hub_model_id is None:
            self.init_hf_repo()
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**details)
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        ignored, access = ["_*", f"{files.PREFIX}-*", ".*"], {"token": token, "revision": revision}
        return self.publisher.upload(
            str(self.hub_model_id), commit_message, ignored, blocking=blocking, **access
        )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Upload a checkpoint in the background, unless an earlier upload is still under way."""
        if self.is_world_process_zero() and not self.publisher.busy:
            self.callback_handler.on_push_begin(self.args, self.state, self.control)
            folder, step = Path(checkpoint_folder), self.state.global_step
            self.publisher.upload_checkpoint(folder, str(self.hub_model_id), step)

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "minimize",
        backend: str | None = None,
        hp_name: Callable[[Any], str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Search for arguments that score best, with optuna or Ray Tune. Needs `model_init`.

        Args:
            hp_space: trial -> training arguments by name, as `trial.suggest_float(...)` suggests them; for
                Ray values and its distributions (`ray.tune.uniform(...)`).
            compute_objective: metrics of `evaluate` -> score, or scores, one for each direction; by default
                the evaluation loss, or the sum of what `compute_metrics` gives.
            n_trials: models that are trained.
            direction: "minimize" or "maximize"; a list of them for several scores.
            backend: "optuna", which it is by default, or "ray", whose trials run in processes of their own.
            hp_name: trial -> its name: that of its folder in `output_dir`, and of its run at trackers.
            kwargs: for `optuna.create_study` (`sampler`, `pruner`, `storage`, ...), and for `Study.optimize`
                (`timeout`, `catch`, `gc_after_trial`, `callbacks`, `show_progress_bar`). A pruner is asked
                after every evaluation, where there is one evaluation set and one score. Or for
                `ray.tune.run` (`resources_per_trial`, `scheduler`, `search_alg`, ...).

        Returns:
            A `BestRun`, whose `run_summary` is the study; for several directions a list of those that no
            other trial beats in all.
        """
        return search(self, hp_space, compute_objective, n_trials, direction, backend, hp_name, kwargs)
