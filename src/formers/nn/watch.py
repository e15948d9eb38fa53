"""Whether anybody looks inside a model: a hook in the tree, or a part that is not the library's own.

A pass that nobody watches keeps padding out and runs the steps of a program without calling the nodes that
hold them. A watched one runs the same steps on [B, T, E] and calls every module. The tree is walked once and
what was found is kept; each pass then checks that the tree is still the same, and that no table of hooks is
filled: some ten microseconds for a model of a hundred modules.
"""

from __future__ import annotations

from operator import methodcaller
from types import NoneType
from typing import Any

import torch
from torch import nn

from formers.nn.activations import Activation
from formers.nn.dropout import Dropout, DropPath
from formers.nn.kernels import global_hooks
from formers.nn.leaves import (
    Affine,
    ChannelNorm,
    ComputedSinusoids,
    Conv1D,
    GatedRMSNorm,
    GroupedLinear,
    HeadNorm,
    HeadNorms,
    OffsetLayerNorm,
    PlainRMSNorm,
    Pointwise,
    RMSNorm,
    ScaledEmbedding,
    WideLinear,
)
from formers.nn.program import Call, Node, flatten
from formers.nn.recording import dispatched, recording
from formers.nn.tree import Block, Group, Row, rows_of, standing, wiring

# leaves that treat every row alike, so that rows may be laid end to end; `row_wise = True` joins them
_ROW_WISE = {
    nn.Linear,
    nn.Embedding,
    nn.LayerNorm,
    nn.Dropout,
    nn.Identity,
    nn.Conv1d,
    nn.Conv2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.Flatten,
    nn.GroupNorm,
    nn.PixelShuffle,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.LeakyReLU,
    nn.GLU,
    nn.ReLU,
    nn.Sigmoid,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    Activation,
    Affine,
    ChannelNorm,
    Conv1D,
    Dropout,
    ComputedSinusoids,
    GatedRMSNorm,
    GroupedLinear,
    HeadNorm,
    OffsetLayerNorm,
    PlainRMSNorm,
    Pointwise,
    RMSNorm,
    ScaledEmbedding,
    DropPath,
    WideLinear,
}


_OVERRIDES = methodcaller("__contains__", "forward")


class _Tree:
    """What a walk over the tree found."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = id(owner)
        self.children: list[tuple[dict[str, Any], tuple[Any, ...]]] = []
        self.hooks: list[dict[Any, Any]] = []
        self.own: list[dict[str, Any]] = []
        self.foreign = False
        # the owner is not held: it holds this, and in a circle its memory would wait for the collector
        self.modules = tuple(owner.modules())[1:]
        self.kinds: tuple[type[nn.Module], ...] = tuple(map(type, self.modules))
        self.forwards = {kind: kind.forward for kind in self.kinds}
        self.children.append((owner._modules, tuple(owner._modules.values())))
        self.foreign = _holds_foreign(owner)  # its own hooks see what its caller sees
        for module in self.modules:
            if module._modules:
                self.children.append((module._modules, tuple(module._modules.values())))
            self.foreign = self.foreign or _holds_foreign(module)
            self.hooks += [
                module._forward_hooks,
                module._forward_pre_hooks,
                module._backward_hooks,
                module._backward_pre_hooks,
            ]
            self.own.append(module.__dict__)
        self.standing = [
            (module.__dict__, inner) for module in self.modules if (inner := standing(module)) is not module
        ]
        rows = [row for module in (owner, *self.modules) for row in rows_of(module)]
        self.foreign = self.foreign or any(map(_holds_foreign, rows))
        if not self.foreign:
            for block in (owner, *self.modules, *rows):
                if isinstance(block, (Block, Row)) and block._formers.program:
                    block._formers.flat, block._formers.swift = flatten(block), None

    def same(self, owner: nn.Module) -> bool:
        """Whether the tree still holds the same modules, and their classes compute as they did."""
        return (
            self.owner == id(owner)
            and all(tuple(table.values()) == held for table, held in self.children)
            and all(table.get("_formers_standing") is inner for table, inner in self.standing)
            and tuple(map(type, self.modules)) == self.kinds
            and all(kind.forward is forward for kind, forward in self.forwards.items())
        )

    def watched(self) -> bool:
        """Whether something in it is hooked, replaced, or called in another way."""
        return self.foreign or any(self.hooks) or any(map(_OVERRIDES, self.own))

    def __reduce__(self) -> tuple[type[Any], tuple[()]]:
        return _Unwalked, ()  # a copy of the model is walked anew


class _Unwalked:
    """In place of what was found in another tree."""

    def same(self, owner: nn.Module) -> bool:
        """Never."""
        return False


def _holds_foreign(module: nn.Module | Row) -> bool:
    """Whether a place that the library computes with holds something that it does not know."""
    if isinstance(module, Group) and not _is_ours(type(module).forward):
        return True  # a node that computes in another way
    known = wiring(module)
    for step in known.program:
        if isinstance(step, Call) and not isinstance(_at(module, step.names), (Node, NoneType)):
            return True
    paths = set(known.roles.values())
    ways = {path[:-1] for path in paths} - paths  # a leaf that holds another is judged as a leaf
    if any(_holds_foreign_way(module, way) for way in ways):
        return True
    leaves = (_at(module, path) for path in paths)
    return any(isinstance(found, nn.Module) and not _row_wise(found) for found in leaves)


def _holds_foreign_way(module: nn.Module | Row, names: tuple[str, ...]) -> bool:
    """Whether a node on the way to a leaf is not the library's: what holds the embeddings, or the layers."""
    nodes = (_at(module, names[: i + 1]) for i in range(len(names)))
    return not all(isinstance(node, (Block, nn.ModuleList, NoneType)) for node in nodes)


def _at(module: nn.Module | Row, path: tuple[str, ...]) -> Any:
    found: Any = module
    for name in path:
        found = standing(getattr(found, name, None))
    return found


def _row_wise(module: nn.Module) -> bool:
    if (
        type(module) is nn.ModuleList
    ):  # the layers, or blocks of them; small nets or tables, one for each kind
        nodes = [isinstance(held, Block) for held in module]
        if any(node and wiring(held).program for node, held in zip(nodes, module, strict=True)):
            return all(nodes)  # layers, in whose place nothing else may stand
        return all(node or _row_wise(held) for node, held in zip(nodes, module, strict=True))
    if type(module) is nn.Sequential:
        return all(map(_row_wise, module))
    if type(module) is HeadNorms:
        return all(map(_row_wise, module.norms))
    plain = type(module) in _ROW_WISE and _is_ours(type(module).forward, "torch.")
    return plain or isinstance(module, Block) or getattr(module, "row_wise", False)


def _is_ours(forward: Any, other: str = "formers.") -> bool:
    return str(getattr(forward, "__module__", "")).startswith(("formers.", other))


def watched(owner: nn.Module) -> bool:
    """Whether the pass over `owner` that begins is watched, or written down as a graph."""
    if recording() or dispatched() or any(global_hooks()):
        return True
    facts = wiring(owner).facts
    found = facts.get("tree")
    if found is None or not found.same(owner):
        found = facts["tree"] = _Tree(owner)
    answer: bool = found.watched()
    return answer


def looks_back(wanted: bool) -> bool:
    """Whether hidden states that a caller wants must lie in the graph."""
    return wanted and torch.is_grad_enabled()
