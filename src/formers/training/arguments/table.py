"""The fields of `TrainingArguments`: what each takes, its default, and the names it had in other releases."""

from __future__ import annotations

import dataclasses
from typing import Any

from formers.core.fields import option
from formers.training.choices import (
    HubStrategy,
    IntervalStrategy,
    OptimizerNames,
    SamplingStrategy,
    SaveStrategy,
    SchedulerType,
)

# word -> level of Python's logging
LOG_LEVELS = {
    "detail": 10,
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "passive": 30,
}
_BACKENDS = (None, "nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl", "ccl")


@dataclasses.dataclass(eq=True, repr=False)
class ArgumentTable:
    """Every field of the ecosystem's class, in its order, and a few more; see `TrainingArguments`."""

    output_dir: str | None = None
    per_device_train_batch_size: int = option(8, at_least=1, older=("per_gpu_train_batch_size",))
    num_train_epochs: float = 3.0
    max_steps: int = -1
    learning_rate: float = option(5e-5, at_least=0)
    lr_scheduler_type: SchedulerType | str = option("linear", choices=SchedulerType)
    lr_scheduler_kwargs: dict[str, Any] | str | None = None
    warmup_steps: float = option(0, at_least=0)
    optim: OptimizerNames | str = option("adamw_torch_fused", choices=OptimizerNames)
    optim_args: str | None = None
    weight_decay: float = option(0.0, at_least=0)
    adam_beta1: float = option(0.9, at_least=0, below=1)
    adam_beta2: float = option(0.999, at_least=0, below=1)
    adam_epsilon: float = option(1e-8, at_least=0)
    optim_target_modules: str | list[str] | None = None
    gradient_accumulation_steps: int = option(1, at_least=1)
    average_tokens_across_devices: bool = True
    max_grad_norm: float = option(1.0, at_least=0)
    label_smoothing_factor: float = option(0.0, at_least=0, below=1)
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
    neftune_noise_alpha: float | None = option(None, at_least=0)
    torch_empty_cache_steps: int | None = option(None, at_least=1)
    auto_find_batch_size: bool = False
    logging_strategy: IntervalStrategy | str = option("steps", choices=IntervalStrategy)
    logging_steps: float = 500
    logging_first_step: bool = False
    log_on_each_node: bool = True
    logging_nan_inf_filter: bool = True
    include_num_input_tokens_seen: str | bool = option("no", choices=("no", "all", "non_padding"))
    log_level: str = option("passive", choices=LOG_LEVELS)
    log_level_replica: str = option("warning", choices=LOG_LEVELS)
    disable_tqdm: bool | None = None
    report_to: str | list[str] | None = "none"
    run_name: str | None = None
    project: str = "huggingface"
    trackio_space_id: str | None = None
    trackio_bucket_id: str | None = None
    trackio_static_space_id: str | bool | None = None
    eval_strategy: IntervalStrategy | str = option(
        "no", choices=IntervalStrategy, older=("evaluation_strategy",)
    )
    eval_steps: float | None = None
    eval_delay: float = option(0, at_least=0)
    per_device_eval_batch_size: int = option(8, at_least=1, older=("per_gpu_eval_batch_size",))
    prediction_loss_only: bool = False
    eval_on_start: bool = False
    eval_do_concat_batches: bool = True
    eval_use_gather_object: bool = False
    eval_accumulation_steps: int | None = option(None, at_least=1)
    include_for_metrics: list[str] = dataclasses.field(default_factory=list)
    batch_eval_metrics: bool = False
    save_only_model: bool = False
    save_strategy: SaveStrategy | str = option("steps", choices=SaveStrategy)
    save_steps: float = 500
    save_on_each_node: bool = False
    save_total_limit: int | None = None
    enable_jit_checkpoint: bool = False
    push_to_hub: bool = False
    hub_token: str | None = option(None, older=("push_to_hub_token",))
    hub_private_repo: bool | None = None
    hub_model_id: str | None = option(None, older=("push_to_hub_model_id",))
    hub_strategy: HubStrategy | str = option("every_save", choices=HubStrategy)
    hub_always_push: bool = False
    hub_revision: str | None = None
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    ignore_data_skip: bool = False
    restore_callback_states_from_checkpoint: bool = False
    full_determinism: bool = False
    seed: int = option(42, at_least=0)
    data_seed: int | None = option(None, at_least=0)
    use_cpu: bool = option(False, older=("no_cuda",))
    accelerator_config: dict[str, Any] | str | None = None
    parallelism_config: Any = None
    dataloader_drop_last: bool = False
    dataloader_num_workers: int = option(0, at_least=0)
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    dataloader_prefetch_factor: int | None = option(None, at_least=1)
    dataloader_multiprocessing_context: str | None = option(
        None, choices=(None, "fork", "spawn", "forkserver")
    )
    dataloader_in_order: bool = True
    remove_unused_columns: bool = True
    label_names: list[str] | None = None
    train_sampling_strategy: SamplingStrategy | str = option("random", choices=SamplingStrategy)
    length_column_name: str = "length"
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: int | None = option(None, at_least=1)
    ddp_broadcast_buffers: bool | None = None
    ddp_static_graph: bool | None = None
    ddp_backend: str | None = option(None, choices=_BACKENDS, older=("xpu_backend",))
    ddp_timeout: int = option(1800, at_least=1)
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
    warmup_ratio: float = option(0.0, at_least=0, at_most=1)
    logging_dir: str | None = None
    save_safetensors: bool = True
    include_tokens_per_second: bool = False
    ray_scope: str = "last"
    # of our own
    class_weights: str | list[float] | None = option(None, choices=(None, "balanced", "sqrt"))
    focal_gamma: float = option(0.0, at_least=0)
    head_learning_rate: float | None = option(None, at_least=0)
    ema_decay: float | None = option(None, above=0, below=1)
    save_on_interrupt: bool = False

    def is_given(self, name: str) -> bool:
        """Whether the caller said it, as against it being a default, which may follow another argument."""
        return name in self.__dict__["_given"]
