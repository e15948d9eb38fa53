"""Names that `TrainingArguments` took in other releases: what each means now, or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from formers.core.notices import notice, refuse_unknown

# older name -> field of the same meaning
RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "no_cuda": "use_cpu",
    "push_to_hub_token": "hub_token",
    "push_to_hub_model_id": "hub_model_id",
    "xpu_backend": "ddp_backend",
}

Kwargs = dict[str, Any]


def _group_by_length(value: Any, kwargs: Kwargs) -> None:
    if value:
        kwargs.setdefault("train_sampling_strategy", "group_by_length")


def _include_inputs(value: Any, kwargs: Kwargs) -> None:
    if value:
        wanted = list(kwargs.get("include_for_metrics") or [])
        kwargs["include_for_metrics"] = wanted if "inputs" in wanted else [*wanted, "inputs"]


def _organization(value: Any, kwargs: Kwargs) -> None:
    if value is None:
        return
    model_id = kwargs.get("hub_model_id")
    if model_id is None:
        directory = kwargs.get("output_dir")
        if directory is None:
            raise ValueError(
                "push_to_hub_organization needs hub_model_id, or output_dir to take the name from"
            )
        model_id = Path(str(directory)).name
    if "/" not in model_id:
        kwargs["hub_model_id"] = f"{value}/{model_id}"


def _torchdynamo(value: Any, kwargs: Kwargs) -> None:
    if value:
        kwargs.setdefault("torch_compile", True)
        kwargs.setdefault("torch_compile_backend", value)


def _adafactor(value: Any, kwargs: Kwargs) -> None:
    if value:
        kwargs.setdefault("optim", "adafactor")


def _loader_option(name: str) -> Callable[[Any, Kwargs], None]:
    def put(value: Any, kwargs: Kwargs) -> None:
        if value is None:
            return
        config = kwargs.get("accelerator_config") or {}
        if isinstance(config, str):
            config = json.loads(Path(config).read_text(encoding="utf-8"))
        kwargs["accelerator_config"] = {**config, name: value}

    return put


def _backend(word: str) -> Callable[[Any, Kwargs], None]:
    def check(value: Any, kwargs: Kwargs) -> None:
        if value not in (None, "auto", "amp", "cuda_amp", "cpu_amp"):
            raise ValueError(
                f"{word}={value!r} is not available: mixed precision is torch's autocast. Leave it out"
            )

    return check


def _useless(
    word: str, why: str, harmless: Iterable[Any] = (None, False, "")
) -> Callable[[Any, Kwargs], None]:
    harmless = list(harmless)

    def tell(value: Any, kwargs: Kwargs) -> None:
        if value not in harmless:
            notice(f"{word}={value!r} has no effect: {why}")

    return tell


def _impossible(
    word: str, why: str, harmless: Iterable[Any] = (None, False, "")
) -> Callable[[Any, Kwargs], None]:
    harmless = list(harmless)

    def refuse(value: Any, kwargs: Kwargs) -> None:
        if value not in harmless:
            raise ValueError(f"{word}={value!r} is not available: {why}")

    return refuse


# older name -> what to do with its value
TRANSLATED: dict[str, Callable[[Any, Kwargs], None]] = {
    "group_by_length": _group_by_length,
    "include_inputs_for_metrics": _include_inputs,
    "push_to_hub_organization": _organization,
    "torchdynamo": _torchdynamo,
    "adafactor": _adafactor,
    "dispatch_batches": _loader_option("dispatch_batches"),
    "split_batches": _loader_option("split_batches"),
    "fp16_backend": _backend("fp16_backend"),
    "half_precision_backend": _backend("half_precision_backend"),
    "fp16_opt_level": _useless("fp16_opt_level", "it belonged to NVIDIA's apex", (None, "O1")),
    "overwrite_output_dir": _useless(
        "overwrite_output_dir",
        "Trainer never reads what lies in output_dir unless train(resume_from_checkpoint=...) asks for it",
    ),
    "use_mps_device": _useless("use_mps_device", "Apple's GPU is used wherever torch finds it"),
    "use_ipex": _useless("use_ipex", "torch itself has these kernels now"),
    "jit_mode_eval": _useless(
        "jit_mode_eval", "tracing is gone from torch; torch_compile=True is its successor"
    ),
    "tpu_num_cores": _impossible("tpu_num_cores", "TPUs are not supported"),
    "tpu_metrics_debug": _impossible("tpu_metrics_debug", "TPUs are not supported"),
    "past_index": _impossible("past_index", "no model returns such a state", (None, -1)),
    "mp_parameters": _impossible("mp_parameters", "SageMaker's model parallelism is not supported; use fsdp"),
    "sharded_ddp": _impossible("sharded_ddp", "use fsdp=True", (None, False, "", [])),
    "n_gpu": _impossible("n_gpu", "the number of processes is that of `accelerate launch`", (None, 0, 1)),
}

OLD_NAMES = frozenset({*RENAMED, *TRANSLATED})


def translate(kwargs: Kwargs, fields: Iterable[str], where: str) -> Kwargs:
    """Turn keywords of any release into those of today.

    Args:
        kwargs: what the caller wrote.
        fields: names that are taken as they are.
        where: the class, for messages.

    Raises:
        TypeError: for an unknown keyword, or one given under both names with different values.
        ValueError: for a wish that cannot be fulfilled, with the reason.
    """
    fields = list(fields)
    refuse_unknown(kwargs, [*fields, *(name for name in OLD_NAMES if name not in fields)], where)
    now = {name: value for name, value in kwargs.items() if name in fields}
    for old, new in RENAMED.items():
        if old in kwargs and old not in fields and kwargs[old] is not None:
            if new in now and now[new] != kwargs[old]:
                raise TypeError(
                    f"{where} got both {old}={kwargs[old]!r} and {new}={now[new]!r}, which mean the same"
                )
            now[new] = kwargs[old]
    for old, handle in TRANSLATED.items():
        if old in kwargs and old not in fields:
            handle(kwargs[old], now)
    return now
