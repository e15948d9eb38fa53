"""The module tree: leaves registered under the checkpoint's paths and looked up by role, nodes that run.

Everything that a module of ours knows beside PyTorch's own lies in one object, `_formers`, so that no
name of a checkpoint or of a person's own model can collide with it. Leaves are looked up at call time: one
that was replaced from outside (an adapter, a quantized linear) is the one that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        flat: the program with those of its nodes written out, for a tree that was just walked; see
            `program.flatten`. It names modules of one tree, so that no copy has it.
        swift: the same with the steps' swift forms; see `nn.few_rows`.
    """

    __slots__ = ("facts", "flat", "program", "roles", "swift")

    def __init__(self) -> None:
        self.roles: dict[str, tuple[str, ...]] = {}
        self.program: tuple[Any, ...] = ()
        self.facts: dict[str, Any] = {}
        self.flat: tuple[Any, ...] | None = None
        self.swift: tuple[Any, ...] | None = None

    def __getstate__(self) -> tuple[Any, ...]:
        return self.roles, self.program, self.facts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.roles, self.program, self.facts = state
        self.flat = self.swift = None

    def copy(self) -> Wiring:
        """The same program, and tables of its own."""
        made = Wiring()
        made.roles, made.program, made.facts = self.roles.copy(), self.program, self.facts.copy()
        return made


class Block(nn.Module):
    """A module with a wiring, which may know other names for what lies below it; see `add_aliases`."""

    def __init__(self) -> None:
        super().__init__()
        self._formers = Wiring()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if _is_alias(self, name):
                return _Elsewhere.of(self, name)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_alias(self, name):
            setattr(*_real(self, name), value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if _is_alias(self, name):
            delattr(*_real(self, name))
        else:
            super().__delattr__(name)


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


class Row:
    """A layer whose parts lie in lists of its owner's, beside those of other layers: no module by itself.

    It looks them up among the owner's children, so that one that was replaced is the one that runs.
    """

    def __init__(self, owner: nn.Module, known: Wiring) -> None:
        self._modules, self._formers = owner._modules, known  # the owner's own table, which copies share too

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._modules:
            return self._modules[name]
        raise AttributeError(f"no part of this layer lies in a list {name!r}")

    @property
    def training(self) -> bool:
        """Whether its parts are in training."""
        names = next(iter(self._formers.roles.values()))
        return bool(getattr(self._modules[names[0]], "training", False))


def rows_of(owner: nn.Module) -> list[Row]:
    """The layers of `owner` that no node holds; see `Row`."""
    found: list[Row] = wiring(owner).facts.get("rows", [])
    return found


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
        for name, buffer in module._buffers.items():
            made._buffers[name] = None if buffer is None else buffer.clone()
        for name, child in module._modules.items():
            if child is not None:
                made._modules[name] = twin(child, known)
    return known[id(module)]


class _Elsewhere:
    """A group of other names, such as `layer.mlp`, whose parts lie in several places. It is no module."""

    def __init__(self, owner: Block, name: str) -> None:
        self.__dict__["_place"] = (owner, name)

    @classmethod
    def of(cls, owner: Block, name: str) -> Any:
        """What lies under another name: the very module, or a group."""
        if name not in _aliases(owner):
            return cls(owner, name)
        found, last = _real(owner, name)
        return getattr(found, last)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            owner, prefix = self._place
            if _is_alias(owner, full := f"{prefix}.{name}"):
                return _Elsewhere.of(owner, full)
        raise AttributeError(f"there is no {name!r} here")

    def __setattr__(self, name: str, value: Any) -> None:
        owner, prefix = self._place
        setattr(*_real(owner, f"{prefix}.{name}"), value)

    def __delattr__(self, name: str) -> None:
        owner, prefix = self._place
        delattr(*_real(owner, f"{prefix}.{name}"))


def _aliases(owner: nn.Module) -> dict[str, str]:
    known = owner.__dict__.get("_formers")
    return known.facts.get("aliases", {}) if known is not None else {}


def _is_alias(owner: nn.Module, name: str) -> bool:
    """Whether a name is another one's, or begins some; what the module or its class has comes first."""
    known = _aliases(owner)
    if not any(alias == name or alias.startswith(f"{name}.") for alias in known):
        return False
    state = owner.__dict__
    held = (state, state["_modules"], state["_parameters"], state["_buffers"])
    return not any(name in names for names in held) and not hasattr(type(owner), name)


def _real(owner: nn.Module, alias: str) -> tuple[Any, str]:
    """The module that holds what an alias names, and its name there.

    Raises:
        AttributeError: for a group of aliases, which is no place by itself.
    """
    known = _aliases(owner)
    if alias not in known:
        parts = [f"{name} is {real}" for name, real in known.items() if name.startswith(f"{alias}.")]
        raise AttributeError(f"nothing can stand at {alias!r}: {', '.join(parts) or 'it is no part here'}")
    *names, last = known[alias].split(".")
    node: Any = owner
    for name in names:
        node = getattr(node, name)
    return node, last


def add_aliases(owner: nn.Module, aliases: Mapping[str, str]) -> None:
    """Let what lies below a module be reached by other paths too: read, replaced, deleted at its real place.

    Aliases are paths, looked up when they are used. They are neither modules nor parameters of the tree, and
    any attribute of that name comes before them.

    Args:
        owner: where the paths begin.
        aliases: other path -> path; `{i}` stands for every number, once on each side.
    """
    for alias, real in aliases.items():
        _add_alias(owner, alias.split("."), real.split("."))


def _add_alias(owner: Any, alias: list[str], real: list[str]) -> None:
    while len(alias) > 1 and len(real) > 1 and alias[0] == real[0] != "{i}":
        owner, alias, real = getattr(owner, "_modules", {}).get(alias[0]), alias[1:], real[1:]
    if not isinstance(owner, (Block, nn.ModuleList)):
        return  # a part that this configuration lacks
    if "{i}" in alias:
        a, r = alias.index("{i}"), real.index("{i}")
        inside = alias[a + 1 :], real[r + 1 :]
        alias, real = alias[:a], real[:r]
        for child in owner.get_submodule(".".join(real)).children():
            if inside[0]:
                _add_alias(child, *inside)
    if alias != real:
        wiring(owner).facts.setdefault("aliases", {})[".".join(alias)] = ".".join(real)


def stand_for(wrapper: nn.Module, module: nn.Module) -> None:
    """Note that a module that was put in a node's place only calls `module`, for now."""
    wrapper.__dict__["_formers_standing"] = module


def standing(module: Any) -> Any:
    """What a module calls that only stands in its place; the module itself where it is no such wrapper."""
    return getattr(module, "__dict__", {}).get("_formers_standing", module)


def wiring(owner: nn.Module | Row) -> Wiring:
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
    hold(descend(owner, tuple(groups)), last, value)
    wiring(owner).roles[role] = (*groups, last)


def hold(node: nn.Module, name: str, value: nn.Module) -> None:
    """Register a child, which no role names.

    Raises:
        SpecError: when the name is taken by an attribute of the class.
    """
    if name not in node._modules:
        _refuse_collision(node, name)
    node.add_module(name, value)


def place_tensor(
    owner: nn.Module,
    role: str,
    path: str,
    value: torch.Tensor,
    fresh: Fill,
    keep: bool = False,
    trained: bool = True,
) -> None:
    """Register a bare parameter (a buffer unless `trained`) under the dotted `path`, known as `role`.

    `fresh.fill_(tensor)` draws its first values; with `keep` it stays in float32 whatever the model's dtype.
    """
    *groups, last = path.split(".")
    node = descend(owner, tuple(groups))
    if trained:
        node.register_parameter(last, nn.Parameter(value))
    else:
        node.register_buffer(last, value)
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
