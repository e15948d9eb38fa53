"""What makes a set of training arguments whole: defaults that follow others, and contradictions refused."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING, Any

from formers.core.notices import notice
from formers.training.choices import (
    HubStrategy,
    IntervalStrategy,
    OptimizerNames,
    SamplingStrategy,
    SaveStrategy,
    SchedulerType,
)

if TYPE_CHECKING:
    from formers.training.arguments import TrainingArguments

_METRIC_SCHEDULES = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
_LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")


def settle(args: TrainingArguments) -> None:
    """Normalise, fill in and check `args` in place.

    Raises:
        ValueError: for a contradiction; the text names both sides and the way out.
    """
    _read_scalars(args)
    _normalise(args)
    _follow(args)
    _check_numbers(args)
    _check_choices(args)
    _check_intervals(args)
    _check_precision(args)
    _check_unavailable(args)
    _set_backends(args)


def _read_scalars(args: TrainingArguments) -> None:
    """Read numbers and switches that came as text, as they do from YAML (`2e-5`) and from shells.

    Raises:
        ValueError: for text that is neither, and for a value that is no number.
    """
    for field in dataclasses.fields(args):
        kind, _, rest = str(field.type).partition(" | ")
        if kind not in ("int", "float", "bool") or rest not in ("", "None"):
            continue
        value = getattr(args, field.name)
        if value is not None:
            setattr(args, field.name, _READERS[kind](field.name, value))


def _switch(name: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    known = words.get(str(value).lower())
    if known is None:
        raise ValueError(f"{name} is True or False, got {value!r}")
    return known


def _whole_number(name: str, value: Any) -> int:
    """A whole number; one with a fraction of zero counts, as JSON and YAML may write it so."""
    try:
        number = int(value)
        if isinstance(value, bool) or (not isinstance(value, str) and number != value):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from error
    return number


def _number(name: str, value: Any) -> Any:
    try:
        number = float(value)
        if math.isnan(number):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, got {value!r}") from error
    return number if isinstance(value, str) else value


_READERS = {"bool": _switch, "int": _whole_number, "float": _number}


def _normalise(args: TrainingArguments) -> None:
    from formers.training.arguments import progress_wanted, read_dicts

    read_dicts(args)
    for name in ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"):
        if getattr(args, name) is not None and not isinstance(getattr(args, name), dict):
            raise ValueError(f"{name} must be a dict of keywords, got {getattr(args, name)!r}")
    args.output_dir = os.path.expanduser(os.fspath(args.output_dir or "trainer_output"))
    if args.logging_dir is not None:
        args.logging_dir = os.path.expanduser(os.fspath(args.logging_dir))
    args.eval_strategy = _interval(args.eval_strategy)
    args.logging_strategy = _interval(args.logging_strategy)
    args.save_strategy = SaveStrategy(_boolean_word(args.save_strategy))
    args.hub_strategy = HubStrategy(args.hub_strategy)
    args.lr_scheduler_type = SchedulerType(args.lr_scheduler_type)
    args.optim = OptimizerNames(args.optim)
    args.train_sampling_strategy = SamplingStrategy(args.train_sampling_strategy)
    if isinstance(args.debug, str):
        args.debug = args.debug.split()
    if args.report_to is None or args.report_to in ("none", ["none"], []):
        args.report_to = []
    elif isinstance(args.report_to, str):
        args.report_to = [args.report_to]
    if isinstance(args.include_num_input_tokens_seen, bool):
        args.include_num_input_tokens_seen = "all" if args.include_num_input_tokens_seen else "no"
    if args.disable_tqdm is None:
        args.disable_tqdm = not progress_wanted()
    if isinstance(args.fsdp, (list, tuple)):
        args.fsdp = " ".join(str(word) for word in args.fsdp)
    args.include_for_metrics = list(args.include_for_metrics or [])


def _interval(value: str | IntervalStrategy | bool) -> IntervalStrategy:
    return IntervalStrategy(_boolean_word(value))


def _boolean_word(value: Any) -> Any:
    """Older releases took a boolean: on means every so many steps."""
    if value is None or isinstance(value, bool):
        return "steps" if value else "no"
    return value


def _follow(args: TrainingArguments) -> None:
    """Defaults that another argument implies."""
    given = args._given
    for new, old in (
        ("activation_checkpointing", "gradient_checkpointing"),
        ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"),
    ):
        value = getattr(args, new) if getattr(args, new) is not None else getattr(args, old)
        setattr(args, new, value)
        setattr(args, old, value)
    if args.activation_checkpointing is None:
        args.activation_checkpointing = args.gradient_checkpointing = False
    if (
        args.eval_strategy == IntervalStrategy.NO
        and args.do_eval
        and args.eval_steps
        and "eval_strategy" not in given
    ):
        args.eval_strategy = IntervalStrategy.STEPS
    if args.eval_strategy != IntervalStrategy.NO:
        args.do_eval = True
    if args.eval_strategy == IntervalStrategy.STEPS and not args.eval_steps:
        args.eval_steps = args.logging_steps
    if args.load_best_model_at_end:
        _save_where_evaluated(args)
    watches = (
        args.load_best_model_at_end
        or args.save_strategy == SaveStrategy.BEST
        or args.lr_scheduler_type in _METRIC_SCHEDULES
    )
    if watches and args.metric_for_best_model is None:
        args.metric_for_best_model = "loss"
    if args.greater_is_better is None and args.metric_for_best_model is not None:
        args.greater_is_better = not args.metric_for_best_model.endswith("loss")
    if args.torch_compile_backend is not None or args.torch_compile_mode is not None:
        args.torch_compile = True
    if args.torch_compile and args.torch_compile_backend is None:
        args.torch_compile_backend = "inductor"
    if args.use_cpu:
        args.dataloader_pin_memory = False


def _save_where_evaluated(args: TrainingArguments) -> None:
    """The best model can only be kept where it was judged: saving follows evaluation unless it was given."""
    if args.eval_strategy == IntervalStrategy.NO:
        raise ValueError(
            "load_best_model_at_end=True needs evaluations to know the best: set eval_strategy='epoch' (or "
            "'steps' with "
            "eval_steps=...)"
        )
    if args.save_strategy == SaveStrategy.BEST:
        return
    if "save_strategy" not in args._given:
        args.save_strategy = SaveStrategy(str(args.eval_strategy))
    if args.save_strategy != args.eval_strategy:
        raise ValueError(
            f"load_best_model_at_end=True keeps models that were evaluated, but "
            f"save_strategy={str(args.save_strategy)!r} "
            f"and eval_strategy={str(args.eval_strategy)!r}: make them equal, leave save_strategy out, or "
            f"use "
            "save_strategy='best'"
        )
    if args.eval_strategy != IntervalStrategy.STEPS or args.eval_steps is None:
        return
    if "save_steps" not in args._given and not _is_multiple(args.save_steps, args.eval_steps):
        args.save_steps = args.eval_steps
    if not _is_multiple(args.save_steps, args.eval_steps):
        raise ValueError(
            f"load_best_model_at_end=True needs save_steps ({args.save_steps}) to be a multiple of "
            f"eval_steps "
            f"({args.eval_steps}): leave save_steps out, and it follows eval_steps"
        )


def _is_multiple(larger: float, smaller: float) -> bool:
    if (larger < 1) != (smaller < 1):
        return False
    ratio = larger / smaller
    return abs(ratio - round(ratio)) < 1e-6 and round(ratio) >= 1


# the least that each number may be
_AT_LEAST = {
    1: (
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "dataloader_prefetch_factor",
        "ddp_bucket_cap_mb",
        "ddp_timeout",
        "generation_max_length",
        "generation_num_beams",
    ),
    0: (
        "warmup_steps",
        "learning_rate",
        "weight_decay",
        "max_grad_norm",
        "focal_gamma",
        "head_learning_rate",
        "eval_delay",
        "adam_epsilon",
        "dataloader_num_workers",
        "neftune_noise_alpha",
        "seed",
        "data_seed",
    ),
}


def _check_numbers(args: TrainingArguments) -> None:
    for least, names in _AT_LEAST.items():
        for name in names:
            value = getattr(args, name, None)  # two are of Seq2SeqTrainingArguments alone
            if value is not None and value < least:
                bound = "must not be negative" if least == 0 else f"must be at least {least}"
                raise ValueError(f"{name} {bound}, got {value}")
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(args, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {getattr(args, name)}")
    if args.num_train_epochs < 0 and args.max_steps <= 0:
        raise ValueError(f"num_train_epochs must not be negative, got {args.num_train_epochs}")
    if not 0 <= args.warmup_ratio <= 1:
        raise ValueError(f"warmup_ratio is a share of the run, between 0 and 1; got {args.warmup_ratio}")
    if args.ema_decay is not None and not 0 < args.ema_decay < 1:
        raise ValueError(f"ema_decay must lie between 0 and 1, got {args.ema_decay}")
    if not 0 <= args.label_smoothing_factor < 1:
        raise ValueError(f"label_smoothing_factor must be in [0, 1), got {args.label_smoothing_factor}")
    if args.warmup_steps >= 1 and args.warmup_steps != int(args.warmup_steps):
        raise ValueError(
            f"warmup_steps must be whole, or below 1 as a share of the run; got {args.warmup_steps}"
        )
    if args.warmup_steps and args.warmup_ratio:
        notice(
            f"warmup_ratio={args.warmup_ratio} has no effect beside warmup_steps={args.warmup_steps}: "
            "leave one of them out."
        )


def _check_choices(args: TrainingArguments) -> None:
    for name in ("torch_empty_cache_steps", "eval_accumulation_steps", "save_total_limit"):
        value = getattr(args, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            if name == "save_total_limit" and isinstance(value, int):
                args.save_total_limit = None  # older releases: no limit
                continue
            raise ValueError(f"{name} must be a whole number above 0, got {value!r}")
    for name, known in (
        ("log_level", _LEVELS),
        ("log_level_replica", _LEVELS),
        ("include_num_input_tokens_seen", ("no", "all", "non_padding")),
        ("ddp_backend", (None, "nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl", "ccl")),
        ("dataloader_multiprocessing_context", (None, "fork", "spawn", "forkserver")),
        ("class_weights", (None, "balanced", "sqrt")),
    ):
        value = getattr(args, name)
        if value not in known and not (name == "class_weights" and isinstance(value, (list, tuple))):
            raise ValueError(f"{name} must be one of {[word for word in known if word]}, got {value!r}")
    unknown = set(args.include_for_metrics) - {"inputs", "loss"}
    if unknown:
        raise ValueError(f"include_for_metrics takes 'inputs' and 'loss', got {sorted(unknown)}")
    if args.dataloader_num_workers == 0 and args.dataloader_prefetch_factor is not None:
        raise ValueError("dataloader_prefetch_factor needs dataloader_num_workers of at least 1")
    if args.dataloader_num_workers == 0 and args.dataloader_persistent_workers:
        raise ValueError("dataloader_persistent_workers=True needs dataloader_num_workers of at least 1")


def _check_intervals(args: TrainingArguments) -> None:
    for strategy, steps in (
        ("logging_strategy", "logging_steps"),
        ("eval_strategy", "eval_steps"),
        ("save_strategy", "save_steps"),
    ):
        if str(getattr(args, strategy)) != "steps":
            continue
        value = getattr(args, steps)
        if not value or value < 0:
            raise ValueError(f"{strategy}='steps' needs {steps} above 0, got {value}")
        if value > 1:
            if value != int(value):
                raise ValueError(f"{steps} must be whole, or below 1 as a share of the run; got {value}")
            setattr(args, steps, int(value))
    if args.lr_scheduler_type in _METRIC_SCHEDULES and args.eval_strategy == IntervalStrategy.NO:
        raise ValueError(
            f"lr_scheduler_type={str(args.lr_scheduler_type)!r} follows evaluations: set eval_strategy"
        )
    if args.batch_eval_metrics and args.prediction_loss_only:
        raise ValueError(
            "batch_eval_metrics=True computes metrics, prediction_loss_only=True keeps none: choose one"
        )


def _check_precision(args: TrainingArguments) -> None:
    if args.fp16 and args.bf16:
        raise ValueError(
            "fp16=True and bf16=True contradict each other: keep bf16 where the device has it (newer GPUs "
            "and CPUs), else fp16"
        )
    if args.fp16_full_eval and args.bf16_full_eval:
        raise ValueError("fp16_full_eval=True and bf16_full_eval=True contradict each other: keep one")
    half = [name for name in ("fp16", "fp16_full_eval", "bf16", "bf16_full_eval") if getattr(args, name)]
    if not half and args.tf32 is None:
        return
    from formers.core.devices import fast_on_cpu, infer_device

    on_cpu = args.use_cpu or infer_device() == "cpu"
    if on_cpu and (args.fp16 or args.fp16_full_eval):
        raise ValueError(
            f"{half[0]}=True needs a GPU, and this run is on the CPU, where float16 is slower than "
            f"float32: leave it out, "
            "or use bf16=True"
        )
    if on_cpu and half:
        import torch

        if not fast_on_cpu(torch.bfloat16):
            notice(
                f"{half[0]}=True on this CPU is slower than float32: it has no bfloat16 instructions. "
                f"Leave it out."
            )
    if args.tf32 and on_cpu:
        raise ValueError("tf32=True needs an NVIDIA GPU of the Ampere generation or later; leave it out")


def _check_unavailable(args: TrainingArguments) -> None:
    if args.use_liger_kernel or args.liger_kernel_config:
        raise ValueError(
            "use_liger_kernel=True patches other model classes; models here are fused already: leave it out"
        )
    for word in args.debug:
        if word == "tpu_metrics_debug":
            raise ValueError("debug='tpu_metrics_debug': TPUs are not supported")
        if word != "underflow_overflow":
            raise ValueError(f"debug takes 'underflow_overflow', got {word!r}")
    if args.parallelism_config is not None:
        from formers.core.extras import need

        kind = need("accelerate.parallelism_config", "train", "parallelism_config=").ParallelismConfig
        if not isinstance(args.parallelism_config, kind):
            raise ValueError(
                f"parallelism_config must be an accelerate.ParallelismConfig, got {args.parallelism_config!r}"
            )
    if args.fsdp and args.deepspeed:
        raise ValueError("fsdp and deepspeed contradict each other: keep one")
    if args.fsdp_config and not args.fsdp:
        raise ValueError("fsdp_config is given but fsdp is not: add fsdp=True")
    trackio = [
        n for n in ("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id") if getattr(args, n)
    ]
    if trackio and "trackio" not in (args.report_to or []) and "all" not in (args.report_to or []):
        notice(f"{trackio[0]} has no effect without report_to='trackio'.")
    if not args.average_tokens_across_devices:
        notice(
            "average_tokens_across_devices=False weighs every process alike, however many labels it has: "
            "the result depends "
            "on the number of processes."
        )


def _set_backends(args: TrainingArguments) -> None:
    if args.tf32 is not None:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = args.tf32
        torch.backends.cudnn.allow_tf32 = args.tf32
