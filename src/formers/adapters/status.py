"""How adapters stand: what is active, merged, trained, and where, by layer and altogether."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from formers.adapters.layer import AdapterLayer
from formers.adapters.tuner import Tuner, parts_of
from formers.quantization.packed import PackedLinear

IRREGULAR = "irregular"


@dataclass
class TunerLayerStatus:
    """One adapted module; `requires_grad` and `devices` by the names of adapters."""

    name: str
    module_type: str
    enabled: bool
    active_adapters: list[str]
    merged_adapters: list[str]
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: str | None


@dataclass
class TunerModelStatus:
    """All adapted modules; "irregular" where they differ."""

    base_model_type: str
    adapter_model_type: str
    peft_types: dict[str, str]
    trainable_params: int
    total_params: int
    num_adapter_layers: int
    enabled: bool | str
    active_adapters: list[str] | str
    merged_adapters: list[str] | str
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: str | None


def _alike(values: Iterable[Any]) -> Any:
    """What all values are, or "irregular"."""
    held = list(values)
    return held[0] if all(value == held[0] for value in held) else IRREGULAR


def _weights(part: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """The weights of a part's adapters, and whose each is."""
    for kind in part.adapter_layer_names:
        for name, held in getattr(part, kind).items():
            for parameter in [held] if isinstance(held, nn.Parameter) else held.parameters():
                yield name, parameter


def _by_name(part: Any, read: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, parameter in _weights(part):
        found.setdefault(name, []).append(read(parameter))
    return found


def _layer(path: str, part: Any) -> TunerLayerStatus:
    leaf = part.get_base_layer() if isinstance(part, AdapterLayer) else part.original_module
    trained = _by_name(part, lambda parameter: parameter.requires_grad)
    where = _by_name(part, lambda parameter: parameter.device.type)
    return TunerLayerStatus(
        name=path,
        module_type=repr(part).partition("(")[0],
        enabled=not part.disable_adapters,
        active_adapters=list(part.active_adapters),
        merged_adapters=list(getattr(part, "merged_adapters", ())),
        requires_grad={name: _alike(values) for name, values in trained.items()},
        available_adapters=sorted(trained),
        devices={name: sorted(set(values)) for name, values in where.items()},
        quantization_backend=type(leaf).__name__ if isinstance(leaf, PackedLinear) else None,
    )


def get_layer_status(model: Any) -> list[TunerLayerStatus]:
    """How every adapted module of a model stands.

    Raises:
        ValueError: where there is none.
    """
    base = model.base_model if isinstance(model._modules.get("base_model"), Tuner) else model
    found = [_layer(path, part) for path, part in parts_of(base)]
    if not found:
        raise ValueError("No adapter layers found in the model: it has no adapters, or learned prompts alone")
    return found


def get_model_status(model: Any) -> TunerModelStatus:
    """How the adapters of a model stand altogether.

    Raises:
        ValueError: where there are none.
    """
    layers = get_layer_status(model)
    tuner = model._modules.get("base_model")
    around = isinstance(tuner, Tuner)
    configs = model.peft_config if around else {}
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    merged = {name for layer in layers for name in layer.merged_adapters}
    torn = any(merged & set(layer.available_adapters) - set(layer.merged_adapters) for layer in layers)
    names = sorted({name for layer in layers for name in layer.available_adapters})
    having = {name: [layer for layer in layers if name in layer.available_adapters] for name in names}
    return TunerModelStatus(
        base_model_type=type(model.get_base_model() if around else model).__name__,
        adapter_model_type=type(tuner).__name__ if around else "None",
        peft_types={name: config.peft_type.value for name, config in configs.items()},
        trainable_params=sum(count for count, trained in counts if trained),
        total_params=sum(count for count, _ in counts),
        num_adapter_layers=len(layers),
        enabled=_alike(layer.enabled for layer in layers),
        active_adapters=_alike(layer.active_adapters for layer in layers),
        merged_adapters=IRREGULAR if torn else sorted(merged),
        requires_grad={n: _alike(layer.requires_grad[n] for layer in own) for n, own in having.items()},
        available_adapters=names,
        devices={n: sorted({d for layer in own for d in layer.devices[n]}) for n, own in having.items()},
        quantization_backend=_alike(layer.quantization_backend for layer in layers),
    )
