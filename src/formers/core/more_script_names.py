"""Small things that packages take from the ecosystem's files, and that know nothing of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from types import ModuleType
from typing import Any

# of the config, where a call leaves them out
_OF_CONFIG = ("use_cache", "vision_feature_layer", "vision_feature_select_strategy", "vision_aspect_ratio")


def is_valid_message(message: Any) -> bool:
    """Whether something is a message of a conversation: a dict with `role` and `content`."""
    return isinstance(message, dict) and {"role", "content"} <= message.keys()


class Chat:
    """A conversation, told from a list of texts by its class.

    Args:
        messages: each with `role` and `content`.

    Raises:
        ValueError: for a message without.
    """

    def __init__(self, messages: Sequence[dict[str, Any]]) -> None:
        if not all(map(is_valid_message, messages)):
            raise ValueError("a conversation is a list of dicts that have 'role' and 'content' each")
        self.messages = messages


def resolve_internal_import(module: ModuleType | None, chained_path: str) -> Any:
    """What lies in a module at the end of a path (`a.b.c`), or under its last name; None where neither is."""
    if module is None:
        return None
    names = chained_path.split(".")
    short = getattr(module, names[-1], None)
    if short is not None:
        return short
    found: Any = module
    for name in names:
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


def merge_with_config_defaults(func: Callable[..., Any]) -> Callable[..., Any]:
    """Around a model's `forward`: `use_cache` and how pictures are read are the config's where left out.

    While layers are recomputed in training there is no cache.
    """
    known = signature(func).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
    places = {name: at for at, name in enumerate(list(known)[1:])}

    @wraps(func)
    def run(self: Any, *args: Any, **keywords: Any) -> Any:
        given = list(args)
        for name in _OF_CONFIG:
            at = places.get(name)
            if at is None and not takes_any:
                continue
            by_place = at is not None and at < len(given)
            value = given[at] if by_place and at is not None else keywords.get(name)
            value = getattr(self.config, name, None) if value is None else value
            if (
                name == "use_cache"
                and value
                and getattr(self, "gradient_checkpointing", False)
                and self.training
            ):
                value = False
            if value is None:
                continue
            if by_place and at is not None:
                given[at] = value
            else:
                keywords[name] = value
        return func(self, *given, **keywords)

    return run


check_model_inputs = merge_with_config_defaults  # its name before 5.2


def model_type_to_module_name(key: str) -> str:
    """The folder of a model type: with underscores."""
    return key.replace("-", "_")


def getattribute_from_module(module: ModuleType, attr: Any) -> Any:
    """A name of a module, or of the package where the module has none; tuples and dicts of names likewise.

    Raises:
        ValueError: where neither has it.
    """
    if attr is None:
        return None
    if isinstance(attr, tuple):
        return tuple(getattribute_from_module(module, one) for one in attr)
    if isinstance(attr, dict):
        return {key: getattribute_from_module(module, one) for key, one in attr.items()}
    import formers

    found = getattr(module, attr, None)
    found = getattr(formers, attr, None) if found is None else found
    if found is None:
        raise ValueError(f"neither {module.__name__} nor formers has {attr!r}")
    return found


class DummyObject(type):
    """The class of classes that say, when they are used, which packages they need (`_backends`)."""

    _backends: list[str]

    def __getattribute__(cls, name: str) -> Any:
        if name.startswith("_") and name != "_from_config" or name in ("is_dummy", "mro"):
            return super().__getattribute__(name)
        from formers.core.available import requires_backends

        return requires_backends(cls, cls._backends)


def get_device_map(n_layers: int, devices: Sequence[int]) -> dict[int, list[int]]:
    """Layers shared out to devices, as many to each: device -> numbers of layers."""
    size = -(-n_layers // len(devices))
    layers = list(range(n_layers))
    return {device: layers[i * size : (i + 1) * size] for i, device in enumerate(devices)}


def assert_device_map(device_map: dict[int, list[int]], num_blocks: int) -> None:
    """Refuse a map that has a layer twice, none for it, or one that there is not.

    Raises:
        ValueError: naming those.
    """
    placed = [layer for layers in device_map.values() for layer in layers]
    wrong = {
        "Duplicate attention blocks": sorted({one for one in placed if placed.count(one) > 1}),
        "Missing attention blocks": sorted(set(range(num_blocks)) - set(placed)),
        "Extra attention blocks": sorted(set(placed) - set(range(num_blocks))),
    }
    said = "; ".join(f"{what}: {layers}" for what, layers in wrong.items() if layers)
    if said:
        raise ValueError(f"the device map does not fit {num_blocks} layers. {said}")


@dataclasses.dataclass
class InputExample:
    """A text, or two, with a label, as benchmarks were read.

    Attributes:
        guid: a name of its own.
        text_a: the text.
        text_b: a second one.
        label: its label.
    """

    guid: str
    text_a: str
    text_b: str | None = None
    label: str | None = None


@dataclasses.dataclass(frozen=True)
class InputFeatures:
    """What a model reads of an `InputExample`: ids [T], mask [T], types [T], and the label's number."""

    input_ids: list[int]
    attention_mask: list[int] | None = None
    token_type_ids: list[int] | None = None
    label: int | float | None = None
