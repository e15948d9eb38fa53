"""An adapter's weights: their names in files, read, written, and put into a model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from formers.adapters.layer import AdapterLayer
from formers.adapters.methods import tuner_of
from formers.adapters.saved import ModulesToSaveWrapper
from formers.adapters.targets import ends_with, newer_names
from formers.adapters.tuner import parts_of
from formers.checkpoints import LoadError, TensorFiles, write_atomically
from formers.checkpoints.saving import write_safetensors
from formers.core.jsonfile import read_json_object
from formers.hub import Source, split_hub_keywords
from formers.hub.files import ADAPTER_SAFE_WEIGHTS_NAME, ADAPTER_WEIGHTS_NAME, CONFIG_NAME

PREFIX = "base_model.model."  # before every name in a file
_TABLES = ("embed_tokens", "lm_head")


class Placed(NamedTuple):
    """Weights of files by their names in a model, what the files lack, and what has no place."""

    placed: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]


class Loaded(NamedTuple):
    """What was in a file and not in the model, and the reverse."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def _held(root: nn.Module, name: str, state: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Of every weight: the path of its part, its name in the tree, and in files below the path; the part."""
    for place, part in parts_of(root):
        dot, path = f"{place}." if place else "", place.replace(".base_layer", "")
        for kind in part.adapter_layer_names:
            start = f"{dot}{kind}.{name}"
            own = [key for key in state if key == start or key.startswith(f"{start}.")]
            for key in own:
                rest = key[len(start) :]
                if isinstance(part, ModulesToSaveWrapper):
                    yield path, key, rest.lstrip("."), part
                else:
                    yield path, key, f"{kind}{rest}", part


def _beside(root: nn.Module, config: Any, state: Mapping[str, Any]) -> Iterator[str]:
    """Names of weights of the model that an adapter's files hold too: trained biases."""
    wanted = getattr(config, "bias", "none")
    layers = [path for path, part in parts_of(root) if isinstance(part, AdapterLayer)]
    ends = {f"{path}.base_layer.bias" for path in layers}
    for key in state:
        if (wanted == "all" and (key == "bias" or key.endswith(".bias"))) or (
            wanted != "none" and key in ends
        ):
            yield key


def _tables(model: Any, config: Any, wanted: bool | str) -> list[nn.Module]:
    """The token tables that go into the files: adapted ones, and resized ones."""
    target = getattr(config, "target_modules", None) or ()
    known = getattr(model, "get_input_embeddings", None)
    if not callable(known) or wanted is False:
        return []
    try:
        tables = [known(), model.get_output_embeddings()]
    except (ValueError, NotImplementedError):  # it reads no tokens
        return []
    paths = [path for path, module in model.named_modules() if any(module is one for one in tables)]
    named = {path for path in paths if path.rpartition(".")[2] in _TABLES and ends_with(path, target)}
    if named:
        return [one for one in tables if isinstance(one, AdapterLayer)]
    if wanted is True or _is_resized(model, config):
        return [one for one in tables if one is not None]
    return []


def _is_resized(model: Any, config: Any) -> bool:
    """Whether the model has another number of tokens than its files, as far as is known."""
    base, size = config.base_model_name_or_path, getattr(getattr(model, "config", None), "vocab_size", None)
    if not base or size is None:
        return False
    try:
        path = Source.of(base, local_files_only=True).find(CONFIG_NAME)
    except OSError:  # it is elsewhere now
        return False
    return path is not None and read_json_object(path).get("vocab_size", size) != size


def get_peft_model_state_dict(
    model: Any,
    state_dict: Mapping[str, Tensor] | None = None,
    adapter_name: str = "default",
    save_embedding_layers: bool | str = "auto",
) -> dict[str, Tensor]:
    """The weights of one adapter, under the names that its files have (without the adapter's name).

    Args:
        model: a `PeftModel`, or a model with adapters in it.
        state_dict: the whole model's tensors, where they are not in it.
        adapter_name: which.
        save_embedding_layers: whether token tables go along; "auto": where they are adapted or were resized.
    """
    config, state = model.peft_config[adapter_name], model.state_dict() if state_dict is None else state_dict
    found, spelt = {}, _spelling(model, config)
    for path, key, below, part in _held(model, adapter_name, state):
        value = state[key]
        if isinstance(part, AdapterLayer):
            value = part.stored(below.partition(".")[0], adapter_name, value)
        found[f"{spelt.get(path, path)}.{below}".lstrip(".")] = value
    found |= {key: state[key] for key in _beside(model, config, state)}
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    tables = _tables(inner, config, save_embedding_layers)
    starts = [f"{path}." for path, module in model.named_modules() if any(module is one for one in tables)]
    own = {id(value) for value in found.values()}
    for key in state:
        if any(key.startswith((f"{start}weight", f"{start}base_layer.weight")) for start in starts):
            found.update({key: state[key]} if id(state[key]) not in own else {})
    return tuner_of(model).to_files(adapter_name, found)


def _spelling(model: nn.Module, config: Any) -> dict[str, str]:
    """Path -> path in files: the newer one where the config calls its targets so."""
    target = getattr(config, "target_modules", None) or ()
    layers = [path for path, part in parts_of(model) if isinstance(part, AdapterLayer)]
    older = not layers or any(ends_with(path.removeprefix(PREFIX), target) for path in layers)
    return {} if older else newer_names(model)


@torch.no_grad()
def set_peft_model_state_dict(
    model: Any,
    peft_model_state_dict: Mapping[str, Tensor],
    adapter_name: str = "default",
    ignore_mismatched_sizes: bool = False,
    low_cpu_mem_usage: bool = False,
) -> Loaded:
    """Put an adapter's weights into a model that has a place for them.

    Names may have or lack the wrappers' prefix, and be the model's newer ones.

    Raises:
        LoadError: for weights of other shapes, unless `ignore_mismatched_sizes`.
    """
    found = placed(model, adapter_name, tuner_of(model).from_files(adapter_name, peft_model_state_dict))
    state, misfits = model.state_dict(keep_vars=True), []
    for key, value in found.placed.items():
        held = state[key]
        if held.shape != value.shape:
            misfits.append(f"{key}: the adapter has {tuple(value.shape)}, the model {tuple(held.shape)}")
        elif held.is_meta:
            _place(model, key, value.to(held.dtype))
        else:
            held.data.copy_(value)
    if misfits and not ignore_mismatched_sizes:
        raise LoadError("the adapter does not fit the model:\n  " + "\n  ".join(misfits))
    return Loaded(found.missing, found.unexpected)


def placed(model: Any, adapter_name: str, given: Mapping[str, Tensor]) -> Placed:
    """Find the places of an adapter's weights, whose names may have or lack the wrappers' prefix."""
    places, wanted = _places(model, adapter_name, model.state_dict(keep_vars=True))
    found, missing, unexpected = {}, dict.fromkeys(wanted), []
    for name, value in given.items():
        spelt = (name, name.removeprefix(PREFIX), PREFIX + name)
        key = next((places[one] for one in spelt if one in places), None)
        if key is None:
            unexpected.append(name)
        else:
            missing.pop(key, None)
            found[key] = value
    return Placed(found, list(missing), unexpected)


def _places(model: Any, name: str, state: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Name in files -> name in the tree, and the names in the tree that belong to the adapter."""
    newer, places, wanted = newer_names(model), {}, []
    for key in state:  # biases and tables, which files may hold too
        path, _, last = key.rpartition(".")
        for spelt in (path, newer.get(path, path)):
            places[f"{spelt}.{last}".lstrip(".")] = key
    for path, key, below, _ in _held(model, name, state):
        wanted.append(key)
        for spelt in (path, newer.get(path, path)):
            places[f"{spelt}.{below}".lstrip(".")] = key
    return places, wanted


def _place(model: nn.Module, key: str, value: Tensor) -> None:
    owner, _, last = key.rpartition(".")
    held = model.get_submodule(owner)
    made = nn.Parameter(value, requires_grad=held.get_parameter(last).requires_grad)
    table: Any = held
    table._parameters[last] = made


def load_peft_weights(model_id: Any, device: Any = None, **options: Any) -> dict[str, Tensor]:
    """The tensors in a folder or Hub repository of an adapter.

    Raises:
        OSError: when there are none.
    """
    hub, _ = split_hub_keywords(options)
    source = Source.of(model_id, **hub)
    for name in (ADAPTER_SAFE_WEIGHTS_NAME, ADAPTER_WEIGHTS_NAME):
        path = source.find(name)
        if path is not None:
            held = TensorFiles.of([path])
            return {key: held.tensor(key).to(device or "cpu") for key in held.names()}
    raise OSError(
        f"{source} has no weights of an adapter: looked for {ADAPTER_SAFE_WEIGHTS_NAME}, "
        f"{ADAPTER_WEIGHTS_NAME}"
    )


def write_weights(tensors: Mapping[str, Tensor], folder: str | os.PathLike[str], safe: bool = True) -> None:
    """Write an adapter's tensors to a folder, whole or not at all."""
    name = ADAPTER_SAFE_WEIGHTS_NAME if safe else ADAPTER_WEIGHTS_NAME
    whole = {key: value.detach().contiguous() for key, value in tensors.items()}
    with write_atomically(Path(folder) / name) as beside:
        if safe:
            with open(beside, "wb") as file:
                write_safetensors(file, whole, {"format": "pt"})
        else:
            torch.save(whole, beside)


def check_loaded(found: Loaded, model_id: Any, model: nn.Module) -> None:
    """Refuse an adapter that is another model's.

    Raises:
        LoadError: naming what is missing and what has no place.
    """
    said = []
    for names, meaning in (
        (found.missing_keys, "places of the adapter are not in the file"),
        (found.unexpected_keys, "weights of the file have no place in the model"),
    ):
        if names:
            said.append(f"{len(names)} {meaning} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    if said:
        raise LoadError(
            f"the adapter {model_id} is not for this {type(model).__name__}: {'; '.join(said)}. Load the "
            "model that "
            "its adapter_config.json names as base_model_name_or_path"
        )
