"""`TrainingArguments`: every knob of a training run, in the spellings of all releases."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from contextlib import AbstractContextManager
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.training.choices import (
    HubStrategy,
    IntervalStrategy,
    OptimizerNames,
    SamplingStrategy,
    SaveStrategy,
    SchedulerType,
)
from formers.training.spellings import RENAMED, translate

if TYPE_CHECKING:
    import torch

_SECRET = ("token",)
_DICT_FIELDS = (
    "accelerator_config",
    "fsdp_config",
    "deepspeed",
    "activation_checkpointing_kwargs",
    "gradient_checkpointing_kwargs",
    "lr_scheduler_kwargs",
    "liger_kernel_config",
)


class _TakesAllSpellings(type):
    """Translates keywords before the dataclass sees them, in subclasses too."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
        by_place = dict(zip(names, args, strict=False))
        if not by_place.keys() & kwargs.keys():  # else __init__ says which one came twice
            kwargs = translate({**by_place, **kwargs}, names, cls.__name__)
            args = (*(kwargs.pop(name) for name in by_place), *args[len(by_place) :])
        made = cls.__new__(cls)  # type: ignore[call-overload]
        # what the caller said, as against what is a default: a default may follow another argument
        made._given = {*names[: len(args)], *kwargs}
        made.__init__(*args, **kwargs)
        return made


@dataclasses.dataclass(eq=True, repr=False)
class TrainingArguments(metaclass=_TakesAllSpellings):
    """How to train: every field of the ecosystem's class of this name, in its order, and a few more.

    Older spellings (`evaluation_strategy`, `warmup_ratio`, `no_cuda`, `per_gpu_train_batch_size`,
    `group_by_length`, `fp16_backend`, ...) are understood. An unknown keyword is a TypeError with a
    suggestion; a wish that cannot be fulfilled is a ValueError with the reason.

    Some defaults follow other arguments: `save_strategy` and `save_steps` follow `eval_strategy` and
    `eval_steps` when `load_best_model_at_end=True` and they are not given; `metric_for_best_model` is then
    "loss". Steps below 1 (`logging_steps=0.1`) are a share of the run. `report_to` is "none" unless given:
    nothing is sent anywhere unasked.

    Of our own: `class_weights` ("balanced", "sqrt" or a list, from the training labels), `focal_gamma`
    (Lin et al. 2017), `head_learning_rate` (for what lies outside the base model, and its pooler),
    `ema_decay` (evaluate and save a moving average of the weights; `averaging.WeightAverage`),
    `save_on_interrupt` (a checkpoint at Ctrl-C or SIGTERM).
    """

    output_dir: str | None = None
    per_device_train_batch_size: int = 8
    num_train_epochs: float = 3.0
    max_steps: int = -1
    learning_rate: float = 5e-5
    lr_scheduler_type: SchedulerType | str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | str | None = None
    warmup_steps: float = 0
    optim: OptimizerNames | str = "adamw_torch_fused"
    optim_args: str | None = None
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    optim_target_modules: str | list[str] | None = None
    gradient_accumulation_steps: int = 1
    average_tokens_across_devices: bool = True
    max_grad_norm: float = 1.0
    label_smoothing_factor: float = 0.0
    bf16: bool = False
    fp16: bool = False
    bf16_full_eval: bool = False
    fp16_full_eval: bool = False
    tf32: bool | None = None
    activation_checkpointing: bool | None = None
    activation_checkpointing_kwargs: dict[str, Any] | str | None = None
    gradient_checkpointing: bool | None = None
    gradient_checkpointing_kwargs: dict[str, Any] | str | None = None
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    use_liger_kernel: bool = False
    liger_kernel_config: dict[str, bool] | None = None
    use_cache: bool = False
    neftune_noise_alpha: float | None = None
    torch_empty_cache_steps: int | None = None
    auto_find_batch_size: bool = False
    logging_strategy: IntervalStrategy | str = "steps"
    logging_steps: float = 500
    logging_first_step: bool = False
    log_on_each_node: bool = True
    logging_nan_inf_filter: bool = True
    include_num_input_tokens_seen: str | bool = "no"
    log_level: str = "passive"
    log_level_replica: str = "warning"
    disable_tqdm: bool | None = None
    report_to: str | list[str] | None = "none"
    run_name: str | None = None
    project: str = "huggingface"
    trackio_space_id: str | None = None
    trackio_bucket_id: str | None = None
    trackio_static_space_id: str | bool | None = None
    eval_strategy: IntervalStrategy | str = "no"
    eval_steps: float | None = None
    eval_delay: float = 0
    per_device_eval_batch_size: int = 8
    prediction_loss_only: bool = False
    eval_on_start: bool = False
    eval_do_concat_batches: bool = True
    eval_use_gather_object: bool = False
    eval_accumulation_steps: int | None = None
    include_for_metrics: list[str] = dataclasses.field(default_factory=list)
    batch_eval_metrics: bool = False
    save_only_model: bool = False
    save_strategy: SaveStrategy | str = "steps"
    save_steps: float = 500
    save_on_each_node: bool = False
    save_total_limit: int | None = None
    enable_jit_checkpoint: bool = False
    push_to_hub: bool = False
    hub_token: str | None = None
    hub_private_repo: bool | None = None
    hub_model_id: str | None = None
    hub_strategy: HubStrategy | str = "every_save"
    hub_always_push: bool = False
    hub_revision: str | None = None
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    ignore_data_skip: bool = False
    restore_callback_states_from_checkpoint: bool = False
    full_determinism: bool = False
    seed: int = 42
    data_seed: int | None = None
    use_cpu: bool = False
    accelerator_config: dict[str, Any] | str | None = None
    parallelism_config: Any = None
    dataloader_drop_last: bool = False
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    dataloader_prefetch_factor: int | None = None
    dataloader_multiprocessing_context: str | None = None
    dataloader_in_order: bool = True
    remove_unused_columns: bool = True
    label_names: list[str] | None = None
    train_sampling_strategy: SamplingStrategy | str = "random"
    length_column_name: str = "length"
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: int | None = None
    ddp_broadcast_buffers: bool | None = None
    ddp_static_graph: bool | None = None
    ddp_backend: str | None = None
    ddp_timeout: int = 1800
    fsdp: str | bool | list[str] | None = None
    fsdp_config: dict[str, Any] | str | None = None
    deepspeed: dict[str, Any] | str | None = None
    debug: str | list[str] = ""
    skip_memory_metrics: bool = True
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    resume_from_checkpoint: str | None = None
    local_rank: int = -1
    # of earlier releases
    warmup_ratio: float = 0.0
    logging_dir: str | None = None
    save_safetensors: bool = True
    include_tokens_per_second: bool = False
    ray_scope: str = "last"
    # of our own
    class_weights: str | list[float] | None = None
    focal_gamma: float = 0.0
    head_learning_rate: float | None = None
    ema_decay: float | None = None
    save_on_interrupt: bool = False

    def __post_init__(self) -> None:
        if "_given" not in self.__dict__:  # built by copy or pickle, past the metaclass
            self._given = {field.name for field in dataclasses.fields(self)}
        from formers.training import argument_rules

        argument_rules.settle(self)

    def __getattr__(self, name: str) -> Any:
        # only reached for names that are not there: the older spelling of a field reads that field
        if name in RENAMED:
            return getattr(self, RENAMED[name])
        older = {
            "group_by_length": lambda: self.train_sampling_strategy == SamplingStrategy.GROUP_BY_LENGTH,
            "include_inputs_for_metrics": lambda: "inputs" in self.include_for_metrics,
            "adafactor": lambda: self.optim == OptimizerNames.ADAFACTOR,
        }
        if name in older:
            return older[name]()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- where the run happens -------------------------------------------------------------------

    @property
    def _process(self) -> Any:
        """Accelerate's record of this process, made at the first use."""
        if "_process_state" not in self.__dict__:
            from formers.training.processes import process_state

            self.__dict__["_process_state"] = process_state(self)
        return self.__dict__["_process_state"]

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self._process.device
        return device

    @property
    def n_gpu(self) -> int:
        """Accelerators that this process uses: one or none."""
        return int(self.device.type not in ("cpu", "meta"))

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return int(self._process.num_processes)

    @property
    def process_index(self) -> int:
        """Rank of this process among all."""
        return int(self._process.process_index)

    @property
    def local_process_index(self) -> int:
        """Rank of this process on its machine."""
        return int(self._process.local_process_index)

    @property
    def parallel_mode(self) -> str:
        """The word `distributed` or `not_parallel`."""
        return "distributed" if self.world_size > 1 else "not_parallel"

    @property
    def should_log(self) -> bool:
        """Whether this process reports."""
        first = self.local_process_index if self.log_on_each_node else self.process_index
        return first == 0

    @property
    def should_save(self) -> bool:
        """Whether this process writes models."""
        first = self.local_process_index if self.save_on_each_node else self.process_index
        return first == 0

    def main_process_first(self, local: bool = True, desc: str = "work") -> AbstractContextManager[None]:
        """A block that the first process runs before the others (`local`: the first of each machine)."""
        state = self._process
        context: AbstractContextManager[None] = (
            state.local_main_process_first() if local else state.main_process_first()
        )
        return context

    # ---- derived numbers -------------------------------------------------------------------------

    @property
    def train_batch_size(self) -> int:
        """Examples per step and process."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        """Examples per evaluation batch and process."""
        return self.per_device_eval_batch_size

    @property
    def ddp_timeout_delta(self) -> timedelta:
        """`ddp_timeout` as a time span."""
        return timedelta(seconds=self.ddp_timeout)

    @property
    def mixed_precision(self) -> str:
        """The word `no`, `fp16` or `bf16`; `accelerate launch --mixed_precision` counts without a flag."""
        if self.fp16:
            return "fp16"
        if self.bf16:
            return "bf16"
        return os.environ.get("ACCELERATE_MIXED_PRECISION", "no")

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Warm-up in steps: `warmup_steps`, where below 1 a share of the run, else `warmup_ratio`."""
        if self.warmup_steps >= 1:
            return int(self.warmup_steps)
        return math.ceil(num_training_steps * (self.warmup_steps or self.warmup_ratio))

    def get_process_log_level(self) -> int:
        """The level of Python's logging for this process; 30 (warning) for "passive"."""
        levels = {
            "debug": 10,
            "info": 20,
            "warning": 30,
            "error": 40,
            "critical": 50,
            "passive": 30,
            "detail": 10,
        }
        return levels[self.log_level if self.should_log else self.log_level_replica]

    # ---- as text ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; tokens are replaced by a placeholder."""
        plain = {}
        for field in dataclasses.fields(self):
            value = _plain(getattr(self, field.name))
            if field.name.endswith(_SECRET) and value is not None:
                value = f"<{field.name.upper()}>"
            plain[field.name] = value
        return plain

    def to_json_string(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_sanitized_dict(self) -> dict[str, Any]:
        """`to_dict` with every value a number, boolean or string, as experiment trackers want it."""
        flat = {
            **self.to_dict(),
            "train_batch_size": self.train_batch_size,
            "eval_batch_size": self.eval_batch_size,
        }
        return {
            key: value if type(value) in (bool, int, float, str) else str(value)
            for key, value in flat.items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingArguments:
        """Build from what `to_dict` gave; placeholders of tokens are left out."""
        given = {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and value.startswith("<"))
        }
        made: TrainingArguments = cls(**given)
        return made

    @classmethod
    def from_json_file(cls, path: str | Path) -> TrainingArguments:
        """Build from a JSON file of keywords."""
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))

    def __str__(self) -> str:
        lines = (f"{name}={value!r}," for name, value in sorted(self.to_dict().items()))
        return f"{type(self).__name__}(\n" + "\n".join(lines) + "\n)"

    __repr__ = __str__

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_process_state"}

    # ---- chained setters -------------------------------------------------------------------------

    def _set(self, **changes: Any) -> TrainingArguments:
        for name, value in changes.items():
            if value is not None:
                setattr(self, name, value)
                self._given.add(name)
        from formers.training import argument_rules

        argument_rules.settle(self)
        return self

    def set_training(
        self,
        learning_rate: float = 5e-5,
        batch_size: int = 8,
        weight_decay: float = 0,
        num_epochs: float = 3,
        max_steps: int = -1,
        gradient_accumulation_steps: int = 1,
        seed: int = 42,
        gradient_checkpointing: bool = False,
    ) -> TrainingArguments:
        """Set what concerns training; returns these arguments."""
        return self._set(
            do_train=True,
            learning_rate=learning_rate,
            per_device_train_batch_size=batch_size,
            weight_decay=weight_decay,
            num_train_epochs=num_epochs,
            max_steps=max_steps,
            seed=seed,
            gradient_accumulation_steps=gradient_accumulation_steps,
            activation_checkpointing=gradient_checkpointing,
        )

    def set_evaluate(
        self,
        strategy: str | IntervalStrategy = "no",
        steps: int = 500,
        batch_size: int = 8,
        accumulation_steps: int | None = None,
        delay: float | None = None,
        loss_only: bool = False,
    ) -> TrainingArguments:
        """Set what concerns evaluation; returns these arguments."""
        return self._set(
            eval_strategy=strategy,
            eval_steps=steps,
            per_device_eval_batch_size=batch_size,
            eval_accumulation_steps=accumulation_steps,
            eval_delay=delay,
            prediction_loss_only=loss_only,
        )

    def set_testing(self, batch_size: int = 8, loss_only: bool = False) -> TrainingArguments:
        """Set what concerns prediction; returns these arguments."""
        return self._set(
            do_predict=True, per_device_eval_batch_size=batch_size, prediction_loss_only=loss_only
        )

    def set_save(
        self, strategy: str | SaveStrategy = "steps", steps: int = 500, total_limit: int | None = None
    ) -> TrainingArguments:
        """Set what concerns checkpoints; returns these arguments."""
        return self._set(save_strategy=strategy, save_steps=steps, save_total_limit=total_limit)

    def set_logging(
        self,
        strategy: str | IntervalStrategy = "steps",
        steps: int = 500,
        report_to: str | list[str] = "none",
        level: str = "passive",
        first_step: bool = False,
        nan_inf_filter: bool = False,
        on_each_node: bool = False,
        replica_level: str = "passive",
    ) -> TrainingArguments:
        """Set what concerns logging; returns these arguments."""
        return self._set(
            logging_strategy=strategy,
            logging_steps=steps,
            report_to=report_to,
            log_level=level,
            logging_first_step=first_step,
            logging_nan_inf_filter=nan_inf_filter,
            log_on_each_node=on_each_node,
            log_level_replica=replica_level,
        )

    def set_push_to_hub(
        self,
        model_id: str,
        strategy: str | HubStrategy = "every_save",
        token: str | None = None,
        private_repo: bool | None = None,
        always_push: bool = False,
        revision: str | None = None,
    ) -> TrainingArguments:
        """Set what concerns the Hub; returns these arguments."""
        return self._set(
            push_to_hub=True,
            hub_model_id=model_id,
            hub_strategy=strategy,
            hub_token=token,
            hub_private_repo=private_repo,
            hub_always_push=always_push,
            hub_revision=revision,
        )

    def set_optimizer(
        self,
        name: str | OptimizerNames = "adamw_torch",
        learning_rate: float = 5e-5,
        weight_decay: float = 0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        args: str | None = None,
    ) -> TrainingArguments:
        """Set what concerns the optimizer; returns these arguments."""
        return self._set(
            optim=name,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            adam_beta1=beta1,
            adam_beta2=beta2,
            adam_epsilon=epsilon,
            optim_args=args,
        )

    def set_lr_scheduler(
        self,
        name: str | SchedulerType = "linear",
        num_epochs: float = 3.0,
        max_steps: int = -1,
        warmup_steps: float = 0,
        warmup_ratio: float | None = None,
    ) -> TrainingArguments:
        """Set what concerns the schedule; returns these arguments."""
        return self._set(
            lr_scheduler_type=name,
            num_train_epochs=num_epochs,
            max_steps=max_steps,
            warmup_steps=warmup_steps,
            warmup_ratio=warmup_ratio,
        )

    def set_dataloader(
        self,
        train_batch_size: int = 8,
        eval_batch_size: int = 8,
        drop_last: bool = False,
        num_workers: int = 0,
        pin_memory: bool = True,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        auto_find_batch_size: bool = False,
        ignore_data_skip: bool = False,
        sampler_seed: int | None = None,
    ) -> TrainingArguments:
        """Set what concerns loading of data; returns these arguments."""
        return self._set(
            per_device_train_batch_size=train_batch_size,
            per_device_eval_batch_size=eval_batch_size,
            dataloader_drop_last=drop_last,
            dataloader_num_workers=num_workers,
            dataloader_pin_memory=pin_memory,
            dataloader_persistent_workers=persistent_workers,
            dataloader_prefetch_factor=prefetch_factor,
            auto_find_batch_size=auto_find_batch_size,
            ignore_data_skip=ignore_data_skip,
            data_seed=sampler_seed,
        )


@dataclasses.dataclass(eq=True, repr=False)
class Seq2SeqTrainingArguments(TrainingArguments):
    """`TrainingArguments` and what generating during evaluation needs.

    `predict_with_generate` makes evaluation generate; `generation_max_length`, `generation_num_beams` and
    `generation_config` (an object, a name or a path) say how. `sortish_sampler` orders the training
    examples by length within large random chunks.
    """

    sortish_sampler: bool = False
    predict_with_generate: bool = False
    generation_max_length: int | None = None
    generation_num_beams: int | None = None
    generation_config: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sortish_sampler and "train_sampling_strategy" not in self._given:
            self.train_sampling_strategy = SamplingStrategy.GROUP_BY_LENGTH


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    to_dict = getattr(value, "to_dict", None)
    return _plain(to_dict()) if callable(to_dict) else str(value)


def read_dicts(args: TrainingArguments) -> None:
    """Read fields that may be a dict, JSON text, or (for configurations) the path of a JSON file."""
    for name in _DICT_FIELDS:
        value = getattr(args, name)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            setattr(args, name, json.loads(value))
        elif isinstance(value, (str, os.PathLike)) and str(value) and name != "deepspeed":
            path = Path(value).expanduser()
            if not path.is_file():
                raise ValueError(f"{name}={str(value)!r} is neither JSON text nor a file")
            setattr(args, name, json.loads(path.read_text(encoding="utf-8")))


def progress_wanted() -> bool:
    """Whether someone is watching: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
