"""What makes a set of training arguments whole: defaults that follow others, and contradictions refused."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from formers.core.fields import read_fields
from formers.core.jsonfile import parse_json, read_json
from formers.core.notices import notice
from formers.training.arguments.table import ArgumentTable
from formers.training.choices import IntervalStrategy, SaveStrategy, SchedulerType

_METRIC_SCHEDULES = (SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)
_KEYWORDS = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "lr_scheduler_kwargs")
DICTS = (*_KEYWORDS, "accelerator_config", "fsdp_config", "deepspeed", "liger_kernel_config")


def settle(args: ArgumentTable) -> None:
    """Normalise, fill in and check `args` in place.

    Raises:
        ValueError: for a contradiction; the text names both sides and the way out.
    """
    _normalise(args)
    read_fields(args)
    _follow(args)
    _check_numbers(args)
    _check_intervals(args)
    _check_precision(args)
    _check_unavailable(args)


def _normalise(args: ArgumentTable) -> None:
    """Bring what may be written in several ways into one."""
    _read_dicts(args)
    args.output_dir = os.path.expanduser(os.fspath(args.output_dir or "trainer_output"))
    if args.logging_dir is not None:
        args.logging_dir = os.path.expanduser(os.fspath(args.logging_dir))
    if isinstance(args.debug, str):
        args.debug = args.debug.split()
    if args.report_to is None or args.report_to in ("none", ["none"], []):
        args.report_to = []
    elif isinstance(args.report_to, str):
        args.report_to = [args.report_to]
    if isinstance(args.include_num_input_tokens_seen, bool):
        args.include_num_input_tokens_seen = "all" if args.include_num_input_tokens_seen else "no"
    if args.disable_tqdm is None:  # bars where someone is watching: a terminal, or a notebook
        args.disable_tqdm = not (sys.stderr.isatty() or "ipykernel" in sys.modules)
    if isinstance(args.fsdp, (list, tuple)):
        args.fsdp = " ".join(str(word) for word in args.fsdp)
    args.include_for_metrics = list(args.include_for_metrics or [])


def _read_dicts(args: ArgumentTable) -> None:
    """Read fields that may be a dict, JSON text, or (for configurations) the path of a JSON file."""
    more: list[str] = getattr(args, "_VALID_DICT_FIELDS", [])
    for name in (*DICTS, *(one for one in more if one not in DICTS)):
        value = getattr(args, name)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            setattr(args, name, parse_json(value, name, data=True))
        elif isinstance(value, (str, os.PathLike)) and str(value) and name in DICTS and name != "deepspeed":
            path = Path(value).expanduser()
            if not path.is_file():
                raise ValueError(f"{name}={str(value)!r} is neither JSON text nor a file")
            setattr(args, name, read_json(path))
    for name in _KEYWORDS:
        if getattr(args, name) is not None and not isinstance(getattr(args, name), dict):
            raise ValueError(f"{name} must be a dict of keywords, got {getattr(args, name)!r}")


def _follow(args: ArgumentTable) -> None:
    """Defaults that another argument implies."""
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
        and not args.is_given("eval_strategy")
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
    if args.save_total_limit is not None and args.save_total_limit < 1:
        args.save_total_limit = None  # older releases: no limit


def _save_where_evaluated(args: ArgumentTable) -> None:
    """The best model can only be kept where it was judged: saving follows evaluation unless it was given."""
    if args.eval_strategy == IntervalStrategy.NO:
        raise ValueError(
            "load_best_model_at_end=True needs evaluations to know the best: set eval_strategy='epoch' "
            "(or 'steps' with eval_steps=...)"
        )
    if args.save_strategy == SaveStrategy.BEST:
        return
    if not args.is_given("save_strategy"):
        args.save_strategy = SaveStrategy(str(args.eval_strategy))
    if args.save_strategy != args.eval_strategy:
        raise ValueError(
            f"load_best_model_at_end=True keeps models that were evaluated, but save_strategy="
            f"{str(args.save_strategy)!r} and eval_strategy={str(args.eval_strategy)!r}: make them equal, "
            "leave save_strategy out, or use save_strategy='best'"
        )
    if args.eval_strategy != IntervalStrategy.STEPS or args.eval_steps is None:
        return
    if not args.is_given("save_steps") and not _is_multiple(args.save_steps, args.eval_steps):
        args.save_steps = args.eval_steps
    if not _is_multiple(args.save_steps, args.eval_steps):
        raise ValueError(
            f"load_best_model_at_end=True needs save_steps ({args.save_steps}) to be a multiple of "
            f"eval_steps ({args.eval_steps}): leave save_steps out, and it follows eval_steps"
        )


def _is_multiple(larger: float, smaller: float) -> bool:
    if (larger < 1) != (smaller < 1):
        return False
    ratio = larger / smaller
    return abs(ratio - round(ratio)) < 1e-6 and round(ratio) >= 1


def _check_numbers(args: ArgumentTable) -> None:
    if not 0 <= args.num_train_epochs < math.inf and args.max_steps <= 0:
        raise ValueError(f"num_train_epochs must be finite and not negative, got {args.num_train_epochs}")
    if args.warmup_steps >= 1 and args.warmup_steps != int(args.warmup_steps):
        raise ValueError(
            f"warmup_steps must be whole, or below 1 as a share of the run; got {args.warmup_steps}"
        )
    if args.warmup_steps and args.warmup_ratio:
        notice(
            f"warmup_ratio={args.warmup_ratio} has no effect beside warmup_steps={args.warmup_steps}: "
            "leave one of them out."
        )
    unknown = set(args.include_for_metrics) - {"inputs", "loss"}
    if unknown:
        raise ValueError(f"include_for_metrics takes 'inputs' and 'loss', got {sorted(unknown)}")
    if args.dataloader_num_workers == 0 and args.dataloader_prefetch_factor is not None:
        raise ValueError("dataloader_prefetch_factor needs dataloader_num_workers of at least 1")
    if args.dataloader_num_workers == 0 and args.dataloader_persistent_workers:
        raise ValueError("dataloader_persistent_workers=True needs dataloader_num_workers of at least 1")


def _check_intervals(args: ArgumentTable) -> None:
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


def _check_precision(args: ArgumentTable) -> None:
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
            "float32: leave it out, or use bf16=True"
        )
    if on_cpu and half:
        import torch

        if not fast_on_cpu(torch.bfloat16):
            notice(
                f"{half[0]}=True on this CPU is slower than float32: it has no bfloat16 instructions. "
                "Leave it out."
            )
    if args.tf32 and on_cpu:
        raise ValueError("tf32=True needs an NVIDIA GPU of the Ampere generation or later; leave it out")


def _check_unavailable(args: ArgumentTable) -> None:
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
            "the result depends on the number of processes."
        )
