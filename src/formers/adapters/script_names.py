"""What scripts and packages take from the ecosystem's adapters beside methods and models."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from formers.adapters.adalora.model import AdaLoraLayer
from formers.adapters.config import HOMES, PeftConfig, PeftType
from formers.adapters.ia3.model import IA3Layer
from formers.adapters.layer import AdapterLayer
from formers.adapters.loha.model import LoHaLayer
from formers.adapters.lokr.model import LoKrLayer
from formers.adapters.lora.layers import Embedding, Linear
from formers.adapters.oft.model import OFTLayer
from formers.adapters.peft_model import CLASSES as MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from formers.adapters.targets import ends_with
from formers.adapters.tuner import Tuner as BaseTuner
from formers.adapters.vera.model import VeraLayer
from formers.quantization.packed import PackedLinear

__all__ = [
    "MODEL_TYPE_TO_PEFT_MODEL_MAPPING",
    "PEFT_TYPE_TO_CONFIG_MAPPING",
    "PEFT_TYPE_TO_MODEL_MAPPING",
    "PEFT_TYPE_TO_TUNER_MAPPING",
    "UPCAST_DTYPES",
    "AdaLoraLayer",
    "BaseTuner",
    "Embedding",
    "IA3Layer",
    "Linear",
    "LoHaLayer",
    "LoKrLayer",
    "OFTLayer",
    "VeraLayer",
    "_get_submodules",
    "cast_adapter_dtype",
    "check_target_module_exists",
    "create_loraplus_optimizer",
    "dequantize_module_weight",
    "get_pattern_key",
    "transpose",
]

# floats that `cast_adapter_dtype` makes wider, beside float16 and bfloat16
UPCAST_DTYPES = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")


class _ByType(Mapping[PeftType, Any]):
    """Something for each method, found when it is first asked for."""

    def __init__(self, find: Any) -> None:
        self._find = find

    def __getitem__(self, kind: PeftType) -> Any:
        return self._find(PeftType(kind))

    def __iter__(self) -> Iterator[PeftType]:
        return iter(HOMES)

    def __len__(self) -> int:
        return len(HOMES)


def _config(kind: PeftType) -> type[PeftConfig]:
    module = importlib.import_module(f"formers.adapters.{HOMES[kind][0]}.config")
    found = (one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, PeftConfig))
    return next(one for one in found if one.kind is kind)


def _tuner(kind: PeftType) -> type[BaseTuner]:
    folder, name = HOMES[kind]
    found: type[BaseTuner] = getattr(importlib.import_module(f"formers.adapters.{folder}.model"), name)
    return found


PEFT_TYPE_TO_CONFIG_MAPPING = _ByType(_config)
PEFT_TYPE_TO_TUNER_MAPPING = PEFT_TYPE_TO_MODEL_MAPPING = _ByType(_tuner)


def _get_submodules(model: nn.Module, key: str) -> tuple[nn.Module, nn.Module, str]:
    """The module that holds the one at a path, that one, and its name there."""
    owner, _, name = key.rpartition(".")
    return model.get_submodule(owner), model.get_submodule(key), name


def transpose(weight: Tensor, fan_in_fan_out: bool) -> Tensor:
    """A weight [in, out] as [out, in] and back, where `fan_in_fan_out` says that it lies so."""
    return weight.T if fan_in_fan_out else weight


def get_pattern_key(pattern_keys: Sequence[str], key_to_match: str) -> str:
    """The first pattern that fits the end of a path; the path itself where none does."""
    fits = (key for key in pattern_keys if re.match(rf"(.*\.)?({key})$", key_to_match))
    return next(fits, key_to_match)


def check_target_module_exists(config: Any, key: str) -> bool:
    """Whether a config's `target_modules` name a path, and `exclude_modules` do not."""
    left_out = getattr(config, "exclude_modules", None)
    return ends_with(key, config.target_modules) and not (left_out and ends_with(key, left_out))


def dequantize_module_weight(module: nn.Module) -> Tensor:
    """The weight of a leaf, unpacked where it is stored in fewer bits."""
    if isinstance(module, AdapterLayer):
        module = module.get_base_layer()
    if isinstance(module, PackedLinear):
        return module.dequantized()
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(module).__name__} has no weight")
    return weight


def cast_adapter_dtype(model: nn.Module, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
    """Let an adapter's weights in narrow floats be float32.

    Args:
        model: what holds it.
        adapter_name: its name.
        autocast_adapter_dtype: False changes nothing.
    """
    if not autocast_adapter_dtype:
        return
    narrow = {torch.float16, torch.bfloat16, *(getattr(torch, name, None) for name in UPCAST_DTYPES)}
    for layer in (one for one in model.modules() if isinstance(one, AdapterLayer)):
        for table in layer.adapter_layer_names:
            held = getattr(layer, table)
            if adapter_name in held:
                one = held[adapter_name]
                for parameter in [one] if isinstance(one, Tensor) else one.parameters():
                    if parameter.dtype in narrow:
                        parameter.data = parameter.data.float()


def create_loraplus_optimizer(
    model: nn.Module, optimizer_cls: type[Optimizer], *, lr: float, loraplus_lr_ratio: float, **kwargs: Any
) -> Optimizer:
    """An optimizer that learns LoRA's B faster than its A (Hayou et al. 2024, arXiv:2402.12354).

    Args:
        model: with adapters on it.
        optimizer_cls: the optimizer's class.
        lr: learning rate of A.
        loraplus_lr_ratio: that of B in multiples of it, 1 or more.
        kwargs: `loraplus_weight_decay` (0), `loraplus_lr_embedding` (1e-6, of adapters of tables), and the
            optimizer's own.

    Raises:
        ValueError: for a ratio below 1.
    """
    if loraplus_lr_ratio < 1:
        raise ValueError(f"loraplus_lr_ratio is 1 or more, not {loraplus_lr_ratio}")
    decay, of_tables = kwargs.pop("loraplus_weight_decay", 0.0), kwargs.pop("loraplus_lr_embedding", 1e-6)
    tables = {id(p) for one in model.modules() if isinstance(one, Embedding) for p in one.parameters()}
    groups: dict[str, list[nn.Parameter]] = {"a": [], "tables": [], "b": [], "b without decay": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in tables:
            groups["tables"].append(parameter)
        elif "lora_B" in name or parameter.ndim == 1:
            groups["b without decay" if parameter.ndim == 1 else "b"].append(parameter)
        else:
            groups["a"].append(parameter)
    fast = lr * loraplus_lr_ratio
    said = {
        "a": (decay, lr),
        "tables": (decay, of_tables),
        "b": (decay, fast),
        "b without decay": (0.0, fast),
    }
    made: Any = optimizer_cls
    return made(  # type: ignore[no-any-return]  # an optimizer of the caller's class
        [
            {"params": held, "weight_decay": said[name][0], "lr": said[name][1]}
            for name, held in groups.items()
        ],
        lr=lr,
        **kwargs,
    )
