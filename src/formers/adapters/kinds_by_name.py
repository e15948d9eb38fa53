"""Names of the ecosystem's adapter files for what has another form here: kinds of leaves, and conversions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from torch import nn

from formers.adapters.lokr.model import divided as factorization
from formers.adapters.lora.layers import Linear
from formers.adapters.saved import ModulesToSaveWrapper as AuxiliaryTrainingWrapper
from formers.adapters.targets import ALL_LINEAR, settle_targets
from formers.quantization.eight_bits import Linear8bit as _Packed8
from formers.quantization.four_bits import Linear4bit as _Packed4

__all__ = [
    "AuxiliaryTrainingWrapper",
    "Linear4bit",
    "Linear8bitLt",
    "_maybe_include_all_linear_layers",
    "convert_peft_config_for_transformers",
    "disable_input_dtype_casting",
    "factorization",
    "is_auto_awq_available",
    "is_torchao_available",
    "onload_layer",
]


class _OnPacked(type):
    """Of classes of LoRA's leaves whose weight is packed so: their instances are `Linear`'s."""

    packed: type[nn.Module]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Linear) and isinstance(instance.get_base_layer(), cls.packed)


class _Told(metaclass=_OnPacked):
    def __init__(self, *args: Any, **options: Any) -> None:
        raise TypeError(
            f"{type(self).__name__} is not made by hand: load the model with quantization_config="
            "BitsAndBytesConfig(...), and let get_peft_model(model, LoraConfig(...)) put adapters on it"
        )


class Linear4bit(_Told):
    """LoRA on a linear leaf whose weight is packed in 4 bits."""

    packed = _Packed4


class Linear8bitLt(_Told):
    """LoRA on a linear leaf whose weight is packed in 8 bits."""

    packed = _Packed8


@contextmanager
def disable_input_dtype_casting(model: nn.Module, active: bool = True) -> Iterator[None]:
    """In this `with`, LoRA's leaves read what comes in the dtype that it has.

    Args:
        model: with adapters on it.
        active: False changes nothing.
    """
    found = [one for one in model.modules() if isinstance(one, Linear)] if active else []
    before = [one.cast_input_dtype_enabled for one in found]
    try:
        for one in found:
            one.cast_input_dtype_enabled = False
        yield
    finally:
        for one, held in zip(found, before, strict=True):
            one.cast_input_dtype_enabled = held


@contextmanager
def onload_layer(layer: nn.Module) -> Iterator[None]:
    """In this `with`, the weights of a leaf that accelerate keeps elsewhere lie where they compute."""
    held = []
    for part in layer.modules():
        hook = getattr(part, "_hf_hook", None)
        if getattr(hook, "offload", False):
            hook.pre_forward(part)  # type: ignore[union-attr]  # of accelerate
            held.append((part, hook))
    try:
        yield
    finally:
        for part, hook in held:
            hook.post_forward(part, None)  # type: ignore[union-attr]  # likewise


def is_auto_awq_available() -> bool:
    """Whether the package `autoawq` is installed; AWQ's leaves need it not."""
    return find_spec("awq") is not None


def is_torchao_available() -> bool:
    """Whether the package `torchao` is installed."""
    return find_spec("torchao") is not None


def _maybe_include_all_linear_layers(peft_config: Any, model: nn.Module) -> Any:
    """Let `target_modules="all-linear"` name the linear leaves but the output's; the config."""
    wanted = getattr(peft_config, "target_modules", None)
    if isinstance(wanted, str) and wanted.lower() == ALL_LINEAR:
        settle_targets(peft_config, model)
    return peft_config


def convert_peft_config_for_transformers(peft_config: Any, model: nn.Module, conversions: Any) -> None:
    """Nothing, in place: models here keep the paths of their checkpoints, so targets by those are found.

    Raises:
        ValueError: where a conversion of the caller's merges modules: their adapters have no one place.
    """
    from formers.checkpoints.conversions import MergeModulelist

    for one in conversions or ():
        if any(isinstance(step, MergeModulelist) for step in getattr(one, "operations", ())):
            raise ValueError(
                "adapters of modules that a conversion merges cannot be converted: load the checkpoint "
                "without it, and the adapter by its own names"
            )
