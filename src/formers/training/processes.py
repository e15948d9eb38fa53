"""The processes of a run: accelerate's record of this one, and its Accelerator."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any

import torch

from formers.core.extras import need
from formers.core.notices import notice, refuse_unknown

# accelerate keeps its states per process for ever, and has no public name for giving them up
_give_up = methodcaller("_reset_state")

# how data is spread over processes; the reading of `accelerator_config`
_LOADER_DEFAULTS: dict[str, Any] = {
    "split_batches": False,
    "dispatch_batches": None,
    "even_batches": True,
    "use_seedable_sampler": True,
    "non_blocking": False,
    "gradient_accumulation_kwargs": None,
    "use_configured_state": False,
}


def process_state(args: Any) -> Any:
    """Join the process group that the launcher set up, if any, and return accelerate's record of it."""
    accelerate = need("accelerate", "train", "training")
    if launched_alone(os.environ):
        notice(
            "`accelerate launch` was asked for several processes and started this one alone, as it does "
            "without a GPU or with --cpu. On CPUs give use_cpu=True to TrainingArguments, and start with "
            "`accelerate launch --multi_gpu --num_processes 2 script.py` or `torchrun --nproc_per_node 2 "
            "script.py`."
        )
    kwargs: dict[str, Any] = {}
    joined = bool(vars(accelerate.PartialState)["_shared_state"])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not joined:
        kwargs["timeout"] = args.ddp_timeout_delta
        if args.ddp_backend is not None:
            kwargs["backend"] = args.ddp_backend
    if joined:
        state = accelerate.PartialState()
        if args.use_cpu and state.device.type != "cpu" and state.num_processes == 1:
            _give_up(accelerate.PartialState)  # an earlier trainer of this process used the accelerator
    return accelerate.PartialState(cpu=args.use_cpu, **kwargs)


def launched_alone(environment: Mapping[str, str]) -> bool:
    """Whether `accelerate launch` started one process where several were asked for.

    Its launcher of single processes names the address where several would meet only when asked for more
    than one, and gives none of them a rank.
    """
    by_accelerate = "ACCELERATE_USE_CPU" in environment and "ACCELERATE_DYNAMO_BACKEND" in environment
    return by_accelerate and "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment


def loader_config(args: Any) -> dict[str, Any]:
    """`accelerator_config` with its defaults.

    Raises:
        TypeError: for an unknown entry.
        ValueError: for an entry that cannot be honoured, with the reason.
    """
    given: Any = args.accelerator_config or {}
    if not isinstance(given, dict):
        given = given.to_dict() if hasattr(given, "to_dict") else dataclasses.asdict(given)
    refuse_unknown(given, _LOADER_DEFAULTS, "accelerator_config")
    config = {**_LOADER_DEFAULTS, **given}
    if config["dispatch_batches"]:
        raise ValueError(
            "dispatch_batches=True is not available: every process reads its own share of the data"
        )
    for name, why in (
        ("use_seedable_sampler", "the order of examples always comes from the seed"),
        (
            "even_batches",
            "shares of the last batch are always as even as they can be, and nothing is seen twice",
        ),
        ("use_configured_state", "each trainer sets up its own"),
    ):
        if config[name] != _LOADER_DEFAULTS[name]:
            notice(f"accelerator_config {name}={config[name]} has no effect: {why}.")
    accumulation = dict(config["gradient_accumulation_kwargs"] or {})
    steps = accumulation.pop("num_steps", None)
    if steps is not None and steps != args.gradient_accumulation_steps:
        raise ValueError(
            f"accelerator_config says num_steps={steps}, gradient_accumulation_steps is "
            f"{args.gradient_accumulation_steps}: set the latter alone"
        )
    config["gradient_accumulation_kwargs"] = accumulation
    return config


def make_accelerator(args: Any) -> Any:
    """The Accelerator of a trainer; its `weigh`, where set, is given each loss before its backward pass.

    Raises:
        MissingExtra: without accelerate.
        ValueError: for DeepSpeed, with the reason.
    """
    accelerate = need("accelerate", "train", "training")
    if args.deepspeed or os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise ValueError(
            "DeepSpeed is not offered: its engine runs backward passes and the optimizer by itself, and the "
            "Trainer's loop does not hand it these (on CPUs accelerate would train without it in silence). "
            "fsdp=True shards parameters, gradients and the optimizer's state, as ZeRO 3 does"
        )
    args.device  # noqa: B018 - joins the process group with our timeout and backend
    _give_up(accelerate.state.AcceleratorState)  # a second trainer may ask for another precision
    kwargs: dict[str, Any] = {
        "mixed_precision": args.mixed_precision,
        "cpu": args.use_cpu,
        "kwargs_handlers": _handlers(args, accelerate),
    }
    plugin = None
    if args.fsdp and args.world_size < 2:
        notice(
            "fsdp shards a model over several processes, and this one is alone: it holds the whole model. "
            "Several start with `torchrun --nproc_per_node N script.py`."
        )
    elif args.fsdp:
        plugin = kwargs["fsdp_plugin"] = _fsdp_plugin(args)
        if plugin.fsdp_version == 1 and args.device.type == "cpu":
            raise ValueError("FSDP's first version needs a GPU: leave version=1 out of fsdp_config on CPUs")
    if args.parallelism_config is not None:
        kwargs["parallelism_config"] = args.parallelism_config
    kind: Any = accelerate.Accelerator

    class Accelerator(kind):  # type: ignore[misc]
        weigh: Callable[[torch.Tensor], torch.Tensor] | None = None

        def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
            super().backward(loss if self.weigh is None else self.weigh(loss), **kwargs)

        def forget(self) -> None:
            """Let go of what was prepared, without the wait for a collection of garbage."""
            for prepared in (self._models, self._optimizers, self._schedulers):
                prepared.clear()

    made, kinds, process = Accelerator(**kwargs), accelerate.DistributedType, accelerate.PartialState()
    if process.device.type == "cpu" and process.num_processes > 1:
        # accelerate looks at the plugin where there are GPUs; what it calls of torch works on CPUs too
        process.distributed_type = kinds.MULTI_CPU if plugin is None else kinds.FSDP
        made.state.distributed_type, made.state.fsdp_plugin = process.distributed_type, plugin
    return made


def spread(model: torch.nn.Module, args: Any, accelerator: Any, sharded: bool) -> torch.nn.Module:
    """Compile a model where that is asked for, and wrap it for several processes.

    FSDP2 takes a model together with its optimizer, so that `run` hands it both afterwards.

    Raises:
        ValueError: for a model whose weights are split by `tp_plan`, and several processes.
    """
    if getattr(model, "tp_size", None) is not None and accelerator.num_processes > 1:
        raise ValueError(
            "processes that share weights by tp_plan read the same batches, and those of a Trainer read "
            "different ones: train it in a loop of your own, or leave tp_plan out and shard with fsdp=True"
        )
    wrapped: Any = model
    if args.torch_compile:
        backend, mode = str(args.torch_compile_backend), args.torch_compile_mode
        wrapped = torch.compile(model, backend=backend, mode=mode)
    if (accelerator.num_processes > 1 or sharded) and not accelerator.is_fsdp2:
        wrapped = accelerator.prepare_model(wrapped)
    return wrapped  # type: ignore[no-any-return]


def _handlers(args: Any, accelerate: Any) -> list[Any]:
    """Keywords of DistributedDataParallel."""
    ddp: dict[str, Any] = {"find_unused_parameters": bool(args.ddp_find_unused_parameters)}
    for field in ("ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"):
        if getattr(args, field) is not None:
            ddp[field.removeprefix("ddp_")] = getattr(args, field)
    if args.ddp_find_unused_parameters is None:
        # a head may leave part of its stack unused (a pooler); checkpointed blocks forbid the search for it
        ddp["find_unused_parameters"] = not args.activation_checkpointing
    return [accelerate.DistributedDataParallelKwargs(**ddp)]


def _fsdp_plugin(args: Any) -> Any:
    """Read the older words ("full_shard auto_wrap offload") and today's dict alike; version 2 is meant.

    The layers that are sharded each on its own are those of the model's family, where nothing else is said.
    """
    plugin = need("accelerate.utils", "train", "fsdp").FullyShardedDataParallelPlugin
    config: dict[str, Any] = dict(args.fsdp_config or {})
    config = {key.removeprefix("fsdp_"): value for key, value in config.items()}
    words = args.fsdp.split() if isinstance(args.fsdp, str) and args.fsdp.lower() != "true" else []
    known = "full_shard shard_grad_op no_shard hybrid_shard hybrid_shard_zero2 offload auto_wrap"
    refuse_unknown(words, known.split(), "fsdp")
    strategy = next((word for word in words if word not in ("offload", "auto_wrap")), None)
    # what only the first version has a word for
    first = strategy in ("no_shard", "hybrid_shard", "hybrid_shard_zero2")
    version = int(config.pop("version", 1 if first else 2))
    if first and version == 2:
        raise ValueError(f"fsdp={strategy!r} is of FSDP's first version: leave version=2 out of fsdp_config")
    kwargs: dict[str, Any] = {"fsdp_version": version, "state_dict_type": "SHARDED_STATE_DICT"}
    if version == 2:
        kwargs["reshard_after_forward"] = config.pop("reshard_after_forward", strategy != "shard_grad_op")
    elif strategy is not None:
        kwargs["sharding_strategy"] = strategy.upper()
    if "offload" in words:
        kwargs["cpu_offload"] = True
    classes = config.pop("transformer_layer_cls_to_wrap", None)
    smallest = config.pop("min_num_params", 0)
    if classes:
        kwargs["transformer_cls_names_to_wrap"] = [classes] if isinstance(classes, str) else list(classes)
    elif smallest:
        kwargs["min_num_params"] = smallest
    policy = "size_based_wrap" if smallest and not classes else "transformer_based_wrap"
    kwargs["auto_wrap_policy"] = config.pop("auto_wrap_policy", policy).lower()
    allowed = {field.name for field in dataclasses.fields(plugin)}
    refuse_unknown(config, allowed, "fsdp_config")
    return plugin(**{**kwargs, **config})
