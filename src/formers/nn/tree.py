"""The module tree: leaves registered under the checkpoint's paths and looked up by role, nodes that run.

Everything that a module of ours knows beside PyTorch's own lies in one object, `_formers`, so that no
name of a checkpoint or of a person's own model can collide with it. Leaves are looked up at call time: one
that was replaced from outside (an adapter, a quantized linear) is the one that runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from formers.nn.fresh import Fill, begins
from formers.nn.spec import SpecError


class Wiring:
    """What a module of the tree knows of itself.

    Attributes:
        roles: role -> names from this module down to the leaf.
        program: what the module computes, in order; see `nn.program`.
        facts: anything else that its owner keeps, by name.
    """

    __slots__ = ("facts", "program", "roles")

    def __init__(self) -> None:
        self.roles: dict[str, tuple[str, ...]] = {}
        self.program: tuple[Any, ...] = ()
        self.facts: dict[str, Any] = {}

    def copy(self) -> Wiring:
        """The same program, and tables of its own."""
        made = Wiring()
        made.roles, made.program, made.facts = self.roles.copy(), self.program, self.facts.copy()
        return made


class Block(nn.Module):
    """A module with a wiring."""

    def __init__(self) -> None:
        super().__init__()
        self._formers = Wiring()


class Group(Block):
    """A node of the tree that holds others; numbered children can be indexed."""

    def __getitem__(self, index: int) -> nn.Module:
        return list(self._modules.values())[index]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, and say what to call instead.

        Raises:
            NotImplementedError: always.
        """
        names = [name for name, _ in self.named_children()]
        holds = f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
        raise NotImplementedError(
            f"this {type(self).__name__}{holds} cannot be called: it only holds weights under the "
            "checkpoint's names. Call the model, or one of the parts that it holds"
        )


def twin(module: nn.Module, _made: dict[int, nn.Module] | None = None) -> nn.Module:
    """Another module like one that has no storage yet: the same programs, and parameters of its own.

    Many times faster than to build it again, or than `copy.deepcopy`.
    """
    known = {} if _made is None else _made
    if id(module) not in known:
        made = known[id(module)] = type(module).__new__(type(module))
        state = made.__dict__
        for name, value in module.__dict__.items():
            state[name] = value.copy() if isinstance(value, (dict, set, Wiring)) else value
        for name, held in module._parameters.items():
            if held is not None:
                made._parameters[name] = nn.Parameter(held, held.requires_grad)
        for name, child in module._modules.items():
            if child is not None:
                made._modules[name] = twin(child, known)
    return known[id(module)]


def wiring(owner: nn.Module) -> Wiring:
    """The wiring of a block, or an empty one for any other module."""
    found = owner.__dict__.get("_formers")
    return found if isinstance(found, Wiring) else Wiring()


def roles(owner: nn.Module) -> dict[str, tuple[str, ...]]:
    """Role -> path of the leaves that `owner` knows."""
    return wiring(owner).roles


def has(owner: nn.Module, role: str) -> bool:
    """Whether the block has a leaf of that role."""
    return role in wiring(owner).roles


def path_of(owner: nn.Module, role: str) -> str:
    """The dotted path of a role."""
    return ".".join(wiring(owner).roles[role])


def leaf(owner: Any, role: str) -> Any:
    """The module or tensor that stands at the role's path now.

    Raises:
        AttributeError: when something at the path was removed or replaced by what has no such leaf.
    """
    node = owner
    for name in owner._formers.roles[role]:
        found = node._modules.get(name)
        node = found if found is not None else getattr(node, name)
    return node


def descend(owner: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """The node under the given names, made where it is missing.

    Raises:
        SpecError: when a name is taken by something that is no module.
    """
    node = owner
    for name in names:
        if name not in node._modules:
            _refuse_collision(node, name)
            node.add_module(name, Group())
        node = node._modules[name]  # type: ignore[assignment]
    return node


def place(owner: nn.Module, role: str, path: str, value: nn.Module) -> None:
    """Register `value` under the dotted `path` and make it known as `role`.

    Raises:
        SpecError: when the path is taken by an attribute of the class.
    """
    *groups, last = path.split(".")
    node = descend(owner, tuple(groups))
    if last not in node._modules:
        _refuse_collision(node, last)
    node.add_module(last, value)
    wiring(owner).roles[role] = (*groups, last)


def place_tensor(
    owner: nn.Module, role: str, path: str, value: torch.Tensor, fresh: Fill, keep: bool
) -> None:
    """Register a bare parameter under the dotted `path` and make it known as `role`.

    `fresh.fill_(tensor)` draws its first values; with `keep` it stays in float32 whatever the model's dtype.
    """
    *groups, last = path.split(".")
    node = descend(owner, tuple(groups))
    node.register_parameter(last, nn.Parameter(value))
    begins(node, **{last: fresh})
    if keep:
        node.__dict__.setdefault("_keep_float32", set()).add(last)
    wiring(owner).roles[role] = (*groups, last)


def _refuse_collision(node: nn.Module, name: str) -> None:
    if hasattr(type(node), name):
        raise SpecError(
            f"the checkpoint's name {name!r} is an attribute of {type(node).__name__} already, so that no "
            f"leaf can be registered there"
        )
