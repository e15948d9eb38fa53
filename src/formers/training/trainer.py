"""`Trainer`: fit, judge and save a model; every step can be overridden."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from formers.core.notices import refuse_unknown
from formers.training import inspection, loaders, resume, steps
from formers.training.arguments import TrainingArguments
from formers.training.averaging import WeightAverage
from formers.training.callbacks import (
    CallbackHandler,
    TrainerCallback,
    default_callbacks,
    improves,
    watched_metric,
)
from formers.training.choices import HubStrategy
from formers.training.data import ColumnFilter, has_length
from formers.training.evaluating import evaluation_loop, nested_map, speed
from formers.training.optimizers import (
    check_trainable,
    decay_parameter_names,
    optimizer_class,
    parameter_groups,
)
from formers.training.processes import loader_config, make_accelerator
from formers.training.schedulers import get_scheduler, needs_metric
from formers.training.seeds import enable_full_determinism, set_seed
from formers.training.state import (
    EvalLoopOutput,
    EvalPrediction,
    PredictionOutput,
    TrainerControl,
    TrainerState,
    TrainOutput,
)
from formers.training.watch import MemoryWatch, Signals

Metrics = Callable[[EvalPrediction], dict[str, Any]]


class Trainer:
    """Fits a model to a dataset, on one process or several (`accelerate launch`), and judges it.

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
    """

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
        if "tokenizer" in older:
            if processing_class is not None:
                raise TypeError("Trainer got both processing_class and tokenizer, which mean the same")
            processing_class = older["tokenizer"]
        inspection.check_kinds(model, args, compute_metrics, callbacks, optimizers)
        self.args = args = args or TrainingArguments("tmp_trainer")
        self._seed()
        self._memory = MemoryWatch(not args.skip_memory_metrics)
        self.model_init = model_init
        self.accelerator: Any = make_accelerator(args, model)
        self.model: Any = self._given_model(model)
        self.model_wrapped: Any = self.model
        self.data_collator = data_collator or loaders.default_collator(processing_class)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer: Any = optimizers[0]
        self.lr_scheduler: Any = optimizers[1]
        self.average: WeightAverage | None = None  # of the weights, while a run with `ema_decay` is on
        self._made: list[str] = []  # what the last run made for itself, and the next makes anew
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        self._loader_config = loader_config(args)
        self.label_names: list[str] = []
        self.can_return_loss = self.model_accepts_loss_kwargs = self._shifted = False
        self._signature_columns: list[str] | None = None
        self._dense_parameters: int | None = None
        inspection.inspect_model(self)
        inspection.check(self)
        self.callback_handler = CallbackHandler(
            [*default_callbacks(args), *(callbacks or [])],
            self.model,
            processing_class,
            self.optimizer,
            self.lr_scheduler,
        )
        self.control = TrainerControl()
        self.state = TrainerState(
            is_local_process_zero=self.is_local_process_zero(),
            is_world_process_zero=self.is_world_process_zero(),
        )
        self.is_in_train = False
        self.hub_model_id: str | None = None
        self._train_batch_size = args.train_batch_size
        self._share: tuple[Any, Any] | None = None
        self._normalised = False
        self._running_loss = torch.zeros(())
        self._random_at_epoch: dict[str, Any] | None = None
        self._signals: Signals | None = None
        self._push_thread: Any = None
        self._label_loss: Any = None
        self._flos = 0.0
        if args.push_to_hub:
            self.init_hf_repo()
        if args.should_save:
            os.makedirs(str(args.output_dir), exist_ok=True)
        self.control = self.callback_handler.on_init_end(args, self.state, self.control)

    # ---- set-up ----------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """Older name of `processing_class`."""
        return self.processing_class

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        self.processing_class = tokenizer

    def _seed(self) -> None:
        if self.args.full_determinism:
            enable_full_determinism(self.args.seed)
        else:
            set_seed(self.args.seed)

    def _given_model(self, model: nn.Module | None) -> nn.Module:
        if (model is None) == (self.model_init is None):
            raise (RuntimeError if model is None else ValueError)(
                "Trainer needs either a model or model_init (a function that makes one), and not both"
            )
        model = self.call_model_init() if model is None else model
        return self._placed(model)

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """Make a model with `model_init`, which takes nothing or the trial of a search."""
        assert self.model_init is not None
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.model_init).parameters.values()
        wanted = [p for p in parameters if p.default is p.empty and p.kind in positional]
        model = self.model_init(trial) if wanted else self.model_init()
        if model is None:
            raise RuntimeError("model_init returned None; it must return a model")
        return model

    def _placed(self, model: nn.Module) -> nn.Module:
        spread = getattr(model, "hf_device_map", None)
        if spread and len(set(spread.values())) > 1:
            return model
        if not (self.args.fsdp or self.args.deepspeed):
            model.to(self.accelerator.device)
        config = getattr(model, "config", None)
        if config is not None and hasattr(config, "use_cache"):
            config.use_cache = self.args.use_cache
        return model

    def _bare(self) -> nn.Module:
        """The model without an adapter around it."""
        inner = getattr(self.model, "get_base_model", None)
        bare: nn.Module = inner() if callable(inner) else self.model
        return bare

    def is_local_process_zero(self) -> bool:
        """Whether this is the first process of its machine."""
        return self.args.local_process_index == 0

    def is_world_process_zero(self) -> bool:
        """Whether this is the first process of all."""
        return self.args.process_index == 0

    def _overrides(self, method: str) -> bool:
        """Whether a subclass has a method of its own under this name."""
        return getattr(type(self), method) is not getattr(Trainer, method)

    @property
    def _is_sharded(self) -> bool:
        return str(getattr(self.accelerator.distributed_type, "value", "")) in ("FSDP", "DEEPSPEED")

    @property
    def _is_plain(self) -> bool:
        """Whether torch's own backward and step do; accelerate's cost milliseconds."""
        return self.accelerator.scaler is None and not self._is_sharded

    @property
    def _global_batch_size(self) -> int:
        if self._loader_config["split_batches"]:
            return self._train_batch_size
        return self._train_batch_size * int(self.accelerator.num_processes)

    def get_total_train_batch_size(self, args: TrainingArguments | None = None) -> int:
        """Examples per optimizer step, over all processes and the accumulation window."""
        return self._global_batch_size * (args or self.args).gradient_accumulation_steps

    # ---- callbacks -------------------------------------------------------------------------------

    def add_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Add a callback or the class of one."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> TrainerCallback | None:
        """Remove a callback and return it."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: TrainerCallback | type[TrainerCallback]) -> None:
        """Remove a callback."""
        self.callback_handler.remove_callback(callback)

    # ---- data ------------------------------------------------------------------------------------

    def _collator(self, dataset: Any) -> Callable[[list[Any]], Any]:
        if not self.args.remove_unused_columns or self._signature_columns is None:
            return self.data_collator
        accepted = {*self._signature_columns, *self.label_names, "label", "label_ids"}
        return ColumnFilter(self.data_collator, accepted, type(self._bare()).__name__)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader of the training set, for this process's share of the batches."""
        if self.train_dataset is None:
            raise ValueError("training needs a train_dataset")
        loader = loaders.train_loader(self)
        return loader

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """The loader of `eval_dataset` (a dataset, or a name in the dict given to the trainer)."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        if dataset is None:
            raise ValueError("evaluation needs an eval_dataset: pass one to Trainer or to evaluate()")
        return loaders.eval_loader(self, dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """The loader of a test set."""
        if test_dataset is None:
            raise TypeError("predict needs a dataset, got None")
        return loaders.eval_loader(self, test_dataset)

    def num_examples(self, dataloader: Any) -> int:
        """Examples that a loader goes through."""
        dataset = getattr(dataloader, "dataset", None)
        if has_length(dataset):
            return len(dataset)  # type: ignore[arg-type]
        return len(dataloader) * self._global_batch_size

    # ---- optimizer and schedule ------------------------------------------------------------------

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that decay: all but biases and norms."""
        return decay_parameter_names(model)

    @staticmethod
    def get_optimizer_cls_and_kwargs(
        args: TrainingArguments, model: nn.Module | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The class and the keywords that the arguments name."""
        return optimizer_class(args, model)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Make the optimizer, unless there is one."""
        if self.optimizer is None:
            model = model or self.model
            decayed = self.get_decay_parameter_names(model)
            groups = parameter_groups(model, self.args.weight_decay, decayed, self.args.head_learning_rate)
            kind, kwargs = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(
                self.args, model
            )
            self.optimizer = kind(groups, **kwargs)
        optimizer: Optimizer = self.optimizer
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """Make the schedule, unless there is one."""
        if self.lr_scheduler is None:
            kwargs: Any = self.args.lr_scheduler_kwargs
            self.lr_scheduler = get_scheduler(
                self.args.lr_scheduler_type,
                optimizer or self.optimizer,
                num_warmup_steps=self.args.get_warmup_steps(num_training_steps),
                num_training_steps=num_training_steps,
                scheduler_specific_kwargs=kwargs,
            )
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
        if self.optimizer is None:
            raise ValueError("there is no optimizer yet: call create_optimizer() or train() first")
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def get_optimizer_group(self, param: str | nn.Parameter | None = None) -> Any:
        """The group that holds `param`, or all groups."""
        if self.optimizer is None:
            raise ValueError("there is no optimizer yet: call create_optimizer() or train() first")
        if param is None:
            return [group["params"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            if any(param is entry for entry in group["params"]):
                return group
        return None

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
            run
                goes on as if it had never stopped, bit for bit on a CPU in float32.
            trial: of a hyperparameter search.
            ignore_keys_for_eval: outputs of the model that evaluations leave out.
            older: `model_path`, the older name of `resume_from_checkpoint`.
        """
        from formers.training.running import run_training

        refuse_unknown(
            older, ["resume_from_checkpoint", "trial", "ignore_keys_for_eval", "model_path"], "Trainer.train"
        )
        wanted = older.get("model_path") if resume_from_checkpoint is None else resume_from_checkpoint
        return run_training(self, wanted or None, trial, ignore_keys_for_eval)

    def _prepare_training(self, steps: int) -> nn.Module:
        """Make optimizer and schedule, and wrap the model for the processes of this run."""
        args = self.args
        check_trainable(self.model)
        inspection.look_at_labels(self)
        if args.activation_checkpointing:
            enable = getattr(self.model, "gradient_checkpointing_enable", None)
            if enable is None:
                raise ValueError(
                    f"{type(self.model).__name__} cannot checkpoint activations: leave "
                    f"activation_checkpointing out"
                )
            options = args.activation_checkpointing_kwargs
            enable(gradient_checkpointing_kwargs=options) if options else enable()
        model = self._wrapped()
        model.train()
        self._made = [name for name in ("optimizer", "lr_scheduler") if getattr(self, name) is None]
        overridden = self._overrides("create_optimizer_and_scheduler")
        if overridden:
            self.create_optimizer_and_scheduler(num_training_steps=steps)
        else:
            self.create_optimizer()
        assert self.optimizer is not None
        if not self._is_plain:
            self.optimizer = self.accelerator.prepare_optimizer(self.optimizer, device_placement=False)
        if not overridden:
            self.create_scheduler(
                num_training_steps=steps, optimizer=getattr(self.optimizer, "optimizer", self.optimizer)
            )
        self.model_wrapped = model
        self.average = None
        if args.ema_decay is not None:
            if self._is_sharded:
                raise ValueError("ema_decay needs whole weights in each process: leave FSDP or DeepSpeed out")
            self.average = WeightAverage(self.model, args.ema_decay)
        return model

    def _wrapped(self) -> nn.Module:
        model: nn.Module = self.model
        if self.args.torch_compile:
            compiled: Any = torch.compile(
                model, backend=str(self.args.torch_compile_backend), mode=self.args.torch_compile_mode
            )
            model = compiled
        if self.accelerator.num_processes > 1 or self._is_sharded:
            model = self.accelerator.prepare_model(model)
        return model

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> AbstractContextManager[Any]:
        """The block in which mixed precision applies."""
        return self.accelerator.autocast()  # type: ignore[no-any-return]

    compute_loss_context_manager = autocast_smart_context_manager

    def _prepare_input(self, data: Any) -> Any:
        device, copy = self.accelerator.device, self._loader_config["non_blocking"]
        return nested_map(
            lambda t: t.to(device, non_blocking=copy) if isinstance(t, Tensor) and t.device != device else t,
            data,
        )

    def _prepare_inputs(self, inputs: Any) -> Any:
        prepared = self._prepare_input(inputs)
        if hasattr(prepared, "__len__") and len(prepared) == 0:
            raise ValueError(f"a batch came without any input the model takes: {self._signature_columns}")
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
        self._normalised = False
        with self.compute_loss_context_manager():
            loss = steps.call_compute_loss(self, model, inputs, num_items_in_batch)
        loss = steps.share_of_window(self, loss, num_items_in_batch)
        # DistributedDataParallel takes the mean over processes where the sum is meant
        spread = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        scaled = loss * spread if spread > 1 else loss
        if self._is_plain:
            scaled.backward()  # type: ignore[no-untyped-call]
        else:
            self.accelerator.backward(scaled)
        return loss.detach()

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch; override it for a loss of one's own.

        An override may return the mean over its batch: the loop weighs it by the batch's items. One that
        divides by `num_items_in_batch` itself is left as it is.

        Returns:
            The loss, a scalar; with `return_outputs=True` a pair with the outputs.
        """
        return steps.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    def _clip_gradients(self, model: nn.Module) -> Any:
        limit = self.args.max_grad_norm
        if not limit:
            return None
        if self._is_plain:
            return torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        return self.accelerator.clip_grad_norm_(list(model.parameters()), limit)

    def _zero_grad(self) -> None:
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=True)

    def _reduced(self, loss: Tensor) -> float:
        """A loss of this process, over all processes."""
        if self.accelerator.num_processes == 1:
            return float(loss)
        how = "sum" if self.args.average_tokens_across_devices else "mean"
        return float(self.accelerator.reduce(loss.detach().clone(), how))

    def _signalled(self) -> bool:
        if self._signals is None:
            return False
        if self.accelerator.num_processes == 1:
            return self._signals.received is not None
        flag = torch.tensor(float(self._signals.received is not None), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)  # all stop at the same step

    # ---- counting --------------------------------------------------------------------------------

    def floating_point_ops(self, inputs: Any) -> float:
        """Operations of one step on a batch: the model's own estimate, else 6 x parameters x tokens."""
        return steps.floating_point_ops(self, inputs)

    def store_flos(self) -> None:
        """Add what was counted since the last call to the state, over all processes."""
        if self._flos:
            flos = torch.tensor(self._flos, device=self.accelerator.device)
            several = self.accelerator.num_processes > 1
            self.state.total_flos += float(self.accelerator.reduce(flos, "sum")) if several else self._flos
            self._flos = 0.0

    # ---- evaluation ------------------------------------------------------------------------------

    def averaged(self) -> AbstractContextManager[None]:
        """The model has the average for its weights in this block, in a run with `ema_decay`."""
        return nullcontext() if self.average is None else self.average.in_place()

    @contextmanager
    def _evaluation_model(self) -> Iterator[nn.Module]:
        """The model in evaluation mode, in the precision asked for; training mode comes back after."""
        model: nn.Module = self.model_wrapped if self._is_sharded else self.model
        modes = [(module, module.training) for module in model.modules()]
        half = (
            torch.float16
            if self.args.fp16_full_eval
            else torch.bfloat16
            if self.args.bf16_full_eval
            else None
        )
        if half is not None and not self.is_in_train:
            import copy

            with self.averaged():  # of a run that was broken off
                model = copy.deepcopy(model).to(half)  # the weights themselves stay as precise as they are
        if not self.is_in_train:
            model.to(self.accelerator.device)
        model.eval()
        try:
            with self.averaged():
                if half is not None and self.is_in_train:
                    with torch.autocast(self.accelerator.device.type, dtype=half):
                        yield model
                else:
                    yield model
        finally:
            for module, mode in modes:
                module.training = mode

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
        start = time.perf_counter()
        loader = self.get_eval_dataloader(eval_dataset)
        loss_only = True if self.compute_metrics is None else None
        output = self.evaluation_loop(
            loader,
            description="Evaluation",
            prediction_loss_only=loss_only,
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        return self._reported(output, loader, metric_key_prefix, start)

    def _reported(self, output: EvalLoopOutput, loader: Any, prefix: str, start: float) -> dict[str, float]:
        metrics = dict(output.metrics or {})
        steps = len(loader) if has_length(loader) else None
        metrics.update(speed(prefix, start, output.num_samples, steps))
        metrics.update(self._memory.measured(prefix))
        self._call_log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics=metrics)
        return metrics

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Predictions for a dataset, in its order, with labels and metrics where it has labels."""
        start = time.perf_counter()
        loader = self.get_test_dataloader(test_dataset)
        output = self.evaluation_loop(
            loader,
            description="Prediction",
            prediction_loss_only=False,
            ignore_keys=ignore_keys,
            metric_key_prefix=metric_key_prefix,
        )
        metrics = dict(output.metrics or {})
        steps = len(loader) if has_length(loader) else None
        metrics.update(speed(metric_key_prefix, start, output.num_samples, steps))
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
        return evaluation_loop(
            self, dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
        )

    prediction_loop = evaluation_loop

    @torch.no_grad()
    def prediction_step(
        self, model: nn.Module, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor | None, Any, Any]:
        """Loss, logits and labels of one batch; what is missing is None."""
        return steps.prediction_step(self, model, inputs, prediction_loss_only, ignore_keys)

    def _evaluate_now(self, ignore_keys: list[str] | None) -> bool:
        """Evaluate during training; returns whether the watched metric is the best so far."""
        metrics = self.evaluate(ignore_keys=ignore_keys)
        value = watched_metric(self.args, metrics)
        if self.args.metric_for_best_model is not None and value is None:
            raise KeyError(
                f"metric_for_best_model={self.args.metric_for_best_model!r} is not among the metrics "
                f"{sorted(metrics)}: "
                "return it from compute_metrics, or name one of these"
            )
        if value is None:
            return False
        if needs_metric(self.lr_scheduler):
            self.lr_scheduler.step(value)
        if not improves(self.args, value, self.state.best_metric):
            return False
        self.state.best_metric = value
        self.state.best_global_step = self.state.global_step
        return True

    # ---- logging ---------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put numbers into the history and hand them to the callbacks."""
        if self.state.epoch is not None:
            logs["epoch"] = self.state.epoch
        if self.args.include_num_input_tokens_seen != "no":
            logs["num_input_tokens_seen"] = self.state.num_input_tokens_seen
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs=logs)

    def _call_log(self, logs: dict[str, float]) -> None:
        self.log(logs)

    def metrics_format(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Metrics as people read them: times, sizes, four decimals."""
        from formers.training.running import readable

        return readable(metrics)

    def log_metrics(self, split: str, metrics: dict[str, Any]) -> None:
        """Print metrics as a table, on the first process."""
        if self.is_world_process_zero():
            shown = self.metrics_format(metrics)
            width = max((len(str(key)) for key in shown), default=0)
            print(f"***** {split} metrics *****")
            for key in sorted(shown):
                print(f"  {key:<{width}} = {shown[key]}")

    def save_metrics(self, split: str, metrics: dict[str, Any], combined: bool = True) -> None:
        """Write `<split>_results.json`, and add to `all_results.json`."""
        if not self.is_world_process_zero():
            return
        from formers.core.atomic import write_text

        folder = Path(str(self.args.output_dir))
        write_text(
            folder / f"{split}_results.json", json.dumps(metrics, indent=4, sort_keys=True, default=float)
        )
        if combined:
            path = folder / "all_results.json"
            earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            write_text(path, json.dumps({**earlier, **metrics}, indent=4, sort_keys=True, default=float))

    def save_state(self) -> None:
        """Write `trainer_state.json` into `output_dir`."""
        if self.is_world_process_zero():
            self.state.save_to_json(Path(str(self.args.output_dir)) / "trainer_state.json")

    # ---- saving and the Hub ----------------------------------------------------------------------

    def _run_dir(self) -> str:
        run = self.state.trial_name
        return str(Path(str(self.args.output_dir)) / run) if run else str(self.args.output_dir)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, the tokenizer or processor, and the arguments to a folder.

        Reload with `from_pretrained(folder)`. Only the first process writes.
        """
        from formers.training.running import write_model

        write_model(self, Path(output_dir or str(self.args.output_dir)))
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save")

    def _save_checkpoint(self) -> None:
        folder = resume.save_checkpoint(self)
        if self.args.push_to_hub and self.args.hub_strategy != HubStrategy.END:
            from formers.training.running import push_checkpoint

            push_checkpoint(self, folder)

    def init_hf_repo(self, token: str | None = None) -> None:
        """Decide under which name uploads go to the Hub."""
        self.hub_model_id = self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name

    def create_model_card(self, **details: Any) -> None:
        """Write a README.md with how the model was trained and what it scored.

        Args:
            details: any of `language`, `license`, `tags`, `model_name`, `finetuned_from`, `tasks`,
            `dataset_tags`,
                `dataset`, `dataset_args`.
        """
        from formers.training.cards import write_card

        if self.is_world_process_zero():
            write_card(self, details)

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
        from formers.training.running import push

        return push(self, commit_message, blocking, token, revision, details)

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
        """Search for arguments that score best, with optuna; returns a `BestRun`. Needs `model_init`."""
        from formers.training.search import search

        return search(self, hp_space, compute_objective, n_trials, direction, backend, hp_name, kwargs)
