"""One adapter in the place of another, in a model that runs or is compiled: nothing but values changes.

prepare_model_for_compiled_hotswap(model, target_rank=64)    # before torch.compile; ranks up to 64 fit
hotswap_adapter(model, "owner/other-adapter", adapter_name="default")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.adapters.config import PeftConfig, PeftType
from formers.adapters.layer import AdapterLayer
from formers.adapters.lora.layers import LoraLayer
from formers.adapters.lora.model import rank_and_alpha
from formers.adapters.lora.ranks import AXES, fitted
from formers.adapters.methods import tuner_of
from formers.adapters.state import load_peft_weights, placed
from formers.adapters.tuner import parts_of
from formers.core.notices import notice
from formers.hub import split_hub_keywords

# what two adapters must agree in: all else is in the weights, or in the scaling that is set anew
_ALIKE = ("use_rslora", "lora_dropout", "use_dora")


def check_hotswap_configs_compatible(config0: Any, config1: Any) -> None:
    """Refuse a pair of adapters of which one cannot take the other's place.

    Raises:
        ValueError: for methods but LoRA, and settings that decide how it computes.
    """
    kinds = [PeftType(one.peft_type) for one in (config0, config1)]
    if kinds[0] is not kinds[1]:
        raise ValueError(f"Incompatible PEFT types found: {kinds[0].value} and {kinds[1].value}")
    if kinds[0] is not PeftType.LORA:
        raise ValueError(f"Hotswapping only supports {PeftType.LORA.value} but {kinds[0].value} was passed.")
    for key in _ALIKE:
        values = getattr(config0, key), getattr(config1, key)
        if values[0] != values[1]:
            raise ValueError(f"Configs are incompatible: for {key}, {values[0]} != {values[1]}")


@torch.no_grad()
def prepare_model_for_compiled_hotswap(
    model: nn.Module, *, target_rank: int | None = None, config: Any = None, check_compiled: str = "error"
) -> None:
    """Let adapters of other ranks and scalings be swapped in without another compilation.

    Scalings become tensors, and A and B get rows of zeros up to `target_rank`, which change no result.

    Args:
        model: with the first adapter in it, before it is compiled.
        target_rank: the highest rank to come; None where all have this one's.
        config: the adapter's config, or several by name: their ranks become `target_rank`, and `lora_alpha`
            grows along, so that they say the same scalings.
        check_compiled: what to do with a model that is compiled already: "error", "warn" or "ignore".

    Raises:
        ValueError: for a model without LoRA, one that is compiled, and a rank below one that is there.
    """
    if check_compiled not in ("error", "warn", "ignore"):
        raise ValueError(f"check_compiled is 'error', 'warn' or 'ignore', not {check_compiled!r}")
    if hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None:
        if check_compiled == "error":
            raise ValueError("Call prepare_model_for_compiled_hotswap *before* compiling the model")
        if check_compiled == "warn":
            notice("the model is compiled already: it is compiled again when it is called next")
    layers = [one for one in _whole(model).modules() if isinstance(one, LoraLayer)]
    if not layers:
        raise ValueError(
            "No adapter layers found on the model: call prepare_model_for_compiled_hotswap after the first "
            "LoRA adapter was loaded"
        )
    if target_rank is not None:
        _check_rank(layers, target_rank)
    configs = config if isinstance(config, dict) else {} if config is None else {"": config}
    for layer in layers:
        for name in layer.r:
            layer.variable(name)
            if target_rank is not None:
                _pad(layer, name, target_rank)
                if configs:  # files say the rank that is stored
                    layer.widen(name, target_rank)
    if target_rank is not None:
        for one in configs.values():
            _widen(one, target_rank)


def hotswap_adapter(
    model: Any, model_name_or_path: Any, adapter_name: str, torch_device: Any = None, **kwargs: Any
) -> None:
    """Put a saved adapter in the place of one that is loaded, under the same name.

    Where the new one has no weights for a leaf, that leaf computes as without an adapter.

    Args:
        model: a `PeftModel`, or a model with adapters in it; compiled or not.
        model_name_or_path: folder or Hub id of the new adapter.
        adapter_name: whose place it takes.
        torch_device: where to read the weights to; None for the model's device.
        kwargs: keywords of the Hub.

    Raises:
        OSError: when there is no such adapter.
        ValueError: for adapters that compute otherwise (`check_hotswap_configs_compatible`), are merged, or
            are not there.
        RuntimeError: for weights that have no place in the model. Nothing is changed then.
    """
    whole = _whole(model)
    held = getattr(whole, "peft_config", {})
    if adapter_name not in held:
        raise ValueError(f"there is no adapter {adapter_name!r}; the model has {', '.join(held) or 'none'}")
    hub, _ = split_hub_keywords(kwargs)
    config = PeftConfig.from_pretrained(model_name_or_path, **hub)
    check_hotswap_configs_compatible(held[adapter_name], config)
    read = load_peft_weights(model_name_or_path, device=torch_device, **hub)
    found = placed(whole, adapter_name, tuner_of(whole).from_files(adapter_name, read))
    if found.unexpected:
        raise _unplaced(found.unexpected)
    _swap(whole, found.placed, adapter_name, config, found.missing)
    config.inference_mode = held[adapter_name].inference_mode
    config.target_modules = held[adapter_name].target_modules  # where its leaves stand, some without a change
    held[adapter_name] = config


def hotswap_adapter_from_state_dict(
    model: Any,
    state_dict: Mapping[str, Tensor],
    adapter_name: str,
    config: Any,
    parameter_prefix: str = "lora_",
) -> None:
    """Put weights in the place of an adapter's that is loaded; `hotswap_adapter` reads and checks them first.

    Args:
        model: with the adapter in it.
        state_dict: weights by their names in the model, the adapter's name among them.
        adapter_name: whose weights they are.
        config: the config of the new adapter: rank and scaling.
        parameter_prefix: how names of weights begin that become zeros where they are left out.

    Raises:
        ValueError: for an adapter that is merged.
        RuntimeError: for weights that have no place in the model. Nothing is changed then.
    """
    whole = _whole(model)
    state = whole.state_dict(keep_vars=True)
    short = {key: key if key in state else key.removesuffix(".weight") for key in state_dict}
    found = {short[key]: value for key, value in state_dict.items()}
    if unknown := [key for key in found if key not in state]:
        raise _unplaced(unknown)
    own = [key for key in state if parameter_prefix in key and adapter_name in key.split(".")]
    _swap(whole, found, adapter_name, config, [key for key in own if key not in found])


def _unplaced(names: list[str]) -> RuntimeError:
    return RuntimeError(
        f"Hot swapping the adapter did not succeed, unexpected keys found: {', '.join(names)}. The adapters "
        "must stand on the same leaves, or the new one on fewer"
    )


@torch.no_grad()
def _swap(model: nn.Module, given: Mapping[str, Tensor], name: str, config: Any, missing: list[str]) -> None:
    layers = {path: one for path, one in parts_of(model) if isinstance(one, AdapterLayer)}
    if any(name in one.merged_adapters for one in layers.values()):
        raise ValueError(
            f"Cannot hot-swap adapter '{name}' because it is merged into the base weights: call "
            "unmerge_adapter() first"
        )
    state = model.state_dict(keep_vars=True)
    made = {}
    for key, value in given.items():
        path, table = _owner(key, layers)
        layer = layers.get(path)
        value = value.to(state[key].device, state[key].dtype)
        if isinstance(layer, LoraLayer) and table in AXES:
            axis = AXES[table]
            value = fitted(value, axis, max(value.shape[axis], state[key].shape[axis]), layer.groups)
        made[key] = value
    _check_ranks(made, state, layers)
    made.update({key: torch.zeros_like(state[key]) for key in missing})
    for key, value in made.items():
        owner, _, last = key.rpartition(".")
        part = model.get_submodule(owner)
        _set(part if isinstance(part, nn.Linear | nn.Conv2d) and last == "weight" else state[key], value)
    for path, layer in layers.items():
        if isinstance(layer, LoraLayer) and layer.holds(name):
            layer.rescale(name, *rank_and_alpha(config, path))


def _check_ranks(made: Mapping[str, Tensor], state: Mapping[str, Any], layers: Mapping[str, Any]) -> None:
    """Refuse shapes that no rank explains; say that a higher rank costs a compilation."""
    larger = []
    for key, value in made.items():
        axis = AXES.get(_owner(key, layers)[1])
        old, new = list(state[key].shape), list(value.shape)
        if old == new:
            continue
        if axis is None or old[:axis] + old[axis + 1 :] != new[:axis] + new[axis + 1 :]:
            raise RuntimeError(
                f"Hot swapping the adapter did not succeed: {key} is {new} in the new adapter and {old} in "
                "the model"
            )
        larger.append(new[axis])
    if larger:
        notice(
            f"the new adapter's rank {max(larger)} is above the one in the model, which grows: where it is "
            "compiled, it is compiled again. prepare_model_for_compiled_hotswap(model, target_rank=...) "
            "makes room beforehand"
        )


def _whole(model: Any) -> Any:
    """The model itself, where it is compiled."""
    return getattr(model, "_orig_mod", model)


def _owner(key: str, layers: Mapping[str, Any]) -> tuple[str, str]:
    """The path of the layer that a weight belongs to, and the table that it lies in; empty where none."""
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (path := ".".join(parts[:end])) in layers:
            return path, parts[end]
    return "", ""


def _pad(layer: LoraLayer, name: str, rank: int) -> None:
    """Give an adapter's matrices room for a rank."""
    for table, axis in AXES.items():
        held: Any = getattr(layer, table)
        if name in held:
            one: Any = held[name]
            weight = one if isinstance(one, nn.Parameter) else one.get_parameter("weight")
            size = rank if axis == 0 else rank // layer.groups
            _set(one, fitted(weight, axis, size, layer.groups))


def _check_rank(layers: list[LoraLayer], rank: int) -> None:
    for layer in layers:
        highest, groups = max(layer.r.values(), default=0), layer.groups
        if highest > rank:
            raise ValueError(
                f"Trying to pad the adapter to the target rank {rank}, but the original rank is larger "
                f"({highest})."
            )
        if rank % groups:
            raise ValueError(
                f"a convolution in {groups} groups takes a target_rank that these divide, not {rank}"
            )


def _set(held: Any, value: Tensor) -> None:
    """Put a weight in place: of the same shape into the same memory, which what was compiled reads."""
    parameter = held if isinstance(held, nn.Parameter) else held.get_parameter("weight")
    if parameter.shape == value.shape:
        parameter.data.copy_(value)
        return
    parameter.data, parameter.grad = value.contiguous(), None
    if isinstance(held, nn.Linear):
        held.out_features, held.in_features = value.shape
    elif hasattr(held, "out_channels"):
        held.out_channels, held.in_channels = value.shape[0], value.shape[1] * held.groups


def _widen(config: Any, rank: int) -> None:
    """Let a config say a higher rank and the same scalings."""

    def alpha(old: float, r: int) -> float:
        return old * ((rank / r) ** 0.5 if config.use_rslora else rank / r)

    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    config.alpha_pattern = {
        key: alpha(alphas.get(key, config.lora_alpha), ranks.get(key, config.r))
        for key in {**ranks, **alphas}
    }
    config.rank_pattern = dict.fromkeys(ranks, rank)
    config.lora_alpha, config.r = alpha(config.lora_alpha, config.r), rank
