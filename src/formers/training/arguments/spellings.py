"""Names that `TrainingArguments` took in other releases: what each means now, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from formers.core.fields import older_names
from formers.core.jsonfile import read_json
from formers.core.notices import notice, refuse_unknown
from formers.core.older_names import NOTICED, REFUSED, SAME, Older
from formers.training.arguments.table import ArgumentTable

# older name -> field of the same meaning
RENAMED = older_names(ArgumentTable)

Kwargs = dict[str, Any]

# older name -> what its value asks for in today's names
_IMPLIES: dict[str, Callable[[Any], Kwargs]] = {
    "group_by_length": lambda value: {"train_sampling_strategy": "group_by_length"},
    "torchdynamo": lambda value: {"torch_compile": True, "torch_compile_backend": value},
    "adafactor": lambda value: {"optim": "adafactor"},
}
_LOADER_OPTIONS = ("dispatch_batches", "split_batches")
_AUTOCAST = "mixed precision is torch's autocast. Leave it out"
_TPU = "TPUs are not supported"

# older name -> why it has no effect, and the values that ask for none; the first is read where none was given
_NO_WISH: tuple[Any, ...] = (False, None, "")
_NOTHING: tuple[Any, ...] = (None, False, "")
_USELESS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "fp16_opt_level": ("it belonged to NVIDIA's apex", ("O1", None)),
    "overwrite_output_dir": (
        "Trainer never reads what lies in output_dir unless train(resume_from_checkpoint=...) asks for it",
        _NO_WISH,
    ),
    "use_mps_device": ("Apple's GPU is used wherever torch finds it", _NO_WISH),
    "use_ipex": ("torch itself has these kernels now", _NO_WISH),
    "jit_mode_eval": ("tracing is gone from torch; torch_compile=True is its successor", _NO_WISH),
}
# older name -> why it cannot be had, and the values that ask for nothing, likewise
_IMPOSSIBLE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "fp16_backend": (_AUTOCAST, ("auto", None, "amp", "cuda_amp", "cpu_amp")),
    "half_precision_backend": (_AUTOCAST, ("auto", None, "amp", "cuda_amp", "cpu_amp")),
    "tpu_num_cores": (_TPU, _NOTHING),
    "tpu_metrics_debug": (_TPU, _NO_WISH),
    "past_index": ("no model returns such a state", (-1, None)),
    "mp_parameters": ("SageMaker's model parallelism is not supported; use fsdp", ("", *_NOTHING)),
    "sharded_ddp": ("use fsdp=True", ("", [], *_NOTHING)),
    "n_gpu": ("the number of processes is that of `accelerate launch`", (None, 0, 1)),
}
_OLD_NAMES = (
    *RENAMED,
    *_IMPLIES,
    *_LOADER_OPTIONS,
    *_USELESS,
    *_IMPOSSIBLE,
    "include_inputs_for_metrics",
    "push_to_hub_organization",
)


# older name without a field -> what is read where nobody gave it
UNGIVEN: dict[str, Any] = {
    old: nothing[0] for old, (_, nothing) in (_USELESS | _IMPOSSIBLE).items() if old != "n_gpu"
}
# older name -> the field whose values it takes on a command line; None: a switch, a number or a word
OLDER_OPTIONS: dict[str, str | None] = {**dict.fromkeys(_OLD_NAMES), **RENAMED}


def rows() -> list[Older]:
    """All of them, as rows of the table of older names."""

    def row(old: str, new: str, done: str = SAME) -> Older:
        return Older("keyword", "TrainingArguments", old, new, "5.0", done)

    implied = {old: made(True if old != "torchdynamo" else "inductor") for old, made in _IMPLIES.items()}
    said = {
        old: ", ".join(f"{name}={value!r}" for name, value in new.items()) for old, new in implied.items()
    }
    return [
        *(row(old, new) for old, new in RENAMED.items()),
        *(row(old, new) for old, new in said.items()),
        *(row(old, f"accelerator_config={{{old!r}: ...}}") for old in _LOADER_OPTIONS),
        *(row(old, f"leave it out: {why}", NOTICED) for old, (why, _) in _USELESS.items()),
        *(row(old, f"leave it out: {why}", REFUSED) for old, (why, _) in _IMPOSSIBLE.items()),
        row("include_inputs_for_metrics", "include_for_metrics=['inputs']"),
        row("push_to_hub_organization", "hub_model_id"),
    ]


def _in_organization(organization: str, now: Kwargs) -> str:
    """The name of the repository, in an organization unless it names an owner."""
    model_id = now.get("hub_model_id")
    if model_id is None:
        if now.get("output_dir") is None:
            raise ValueError(
                "push_to_hub_organization needs hub_model_id, or output_dir to take the name from"
            )
        model_id = Path(str(now["output_dir"])).name
    return model_id if "/" in model_id else f"{organization}/{model_id}"


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
    refuse_unknown(kwargs, [*fields, *(name for name in _OLD_NAMES if name not in fields)], where)
    now = {name: value for name, value in kwargs.items() if name in fields}
    older = {name: value for name, value in kwargs.items() if name not in fields and value is not None}
    for old, new in RENAMED.items():
        if old in older:
            if new in now and now[new] != older[old]:
                raise TypeError(
                    f"{where} got both {old}={older[old]!r} and {new}={now[new]!r}, which mean the same"
                )
            now[new] = older[old]
    for old, implied in _IMPLIES.items():
        if older.get(old):
            now = {**implied(older[old]), **now}
    if older.get("include_inputs_for_metrics"):
        wanted = list(now.get("include_for_metrics") or [])
        now["include_for_metrics"] = wanted if "inputs" in wanted else [*wanted, "inputs"]
    if "push_to_hub_organization" in older:
        now["hub_model_id"] = _in_organization(older["push_to_hub_organization"], now)
    if options := {name: older[name] for name in _LOADER_OPTIONS if name in older}:
        config = now.get("accelerator_config") or {}
        now["accelerator_config"] = {**(read_json(config) if isinstance(config, str) else config), **options}
    for old, value in older.items():
        if old in _USELESS and value not in _USELESS[old][1]:
            notice(f"{old}={value!r} has no effect: {_USELESS[old][0]}")
        if old in _IMPOSSIBLE and value not in _IMPOSSIBLE[old][1]:
            raise ValueError(f"{old}={value!r} is not available: {_IMPOSSIBLE[old][0]}")
    return now
