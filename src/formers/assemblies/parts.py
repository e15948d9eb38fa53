"""Classes of what models hold, found by name: `LlamaAttention`, `BertEmbeddings`, `GemmaRMSNorm`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from torch import nn

from formers.core.extras import MissingExtra
from formers.model.building import for_a_checkpoint
from formers.nn.leaves import RMSNorm
from formers.nn.stems.base import StemNode
from formers.stacks.layer import LayersNode
from formers.stacks.parts import may_be_part, part_class, refuse
from formers.stacks.stack import RotaryNode

# how names end of what many families share -> what it is
_SHARED: dict[str, tuple[type[nn.Module], ...]] = {
    "Embeddings": (StemNode,),
    "Encoder": (LayersNode,),
    "LayerNorm": (RMSNorm, nn.LayerNorm),
    "RMSNorm": (RMSNorm,),
    "RotaryEmbedding": (RotaryNode,),
}
# older names of attention by its kernel: one class attends with every backend
_BY_KERNEL = re.compile(r"(\w+?)(?:FlashAttention2|Sdpa(?:Self)?Attention)")


def find_part(model: Any, name: str) -> type[Any] | None:
    """The class `name` of a part that a family's models hold by default; None where they hold none such.

    Args:
        model: the family's class without a head.
        name: of the part.
    """
    kinds = next((kinds for end, kinds in _SHARED.items() if name == f"{_family(model)}{end}"), ())
    if not kinds and not may_be_part(name):
        return None
    held = _held(model)
    if kinds:
        shared: list[Any] = [kind for kind in kinds if any(issubclass(one, kind) for one in held)]
        return _shared_class(name, shared[0]) if shared else None
    names = {one.__name__ for one in held}
    if (older := _BY_KERNEL.fullmatch(name)) is not None:
        ends = ("SelfAttention", "Attention") if "SelfAttention" in name else ("Attention", "SelfAttention")
        name = next((f"{older[1]}{end}" for end in ends if f"{older[1]}{end}" in names), name)
    return part_class(name) if name in names else None


def _family(model: type[Any]) -> str:
    return model.__name__.removesuffix("Model")


@cache
def _held(model: Any) -> frozenset[type[nn.Module]]:
    """The classes of all modules of a model; none where no config by default, or no package, makes one."""
    try:
        with for_a_checkpoint():
            made = model(model.config_class())
    except (ValueError, TypeError, MissingExtra):
        return frozenset()
    return frozenset(type(one) for one in made.modules())


class _Shared(type):
    """Of classes that stand for one which families share: what is of that one is of them."""

    shared: type[nn.Module]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.shared)

    def __subclasscheck__(cls, other: type) -> bool:
        return other is cls or issubclass(other, cls.shared)


@cache
def _shared_class(name: str, kind: Any) -> type[Any]:
    own = {"__module__": __name__, "__init__": refuse, "shared": kind, "__doc__": kind.__doc__}
    return _Shared(name, (), own)
