"""The nodes of a network over maps: made from their specs, called one inside the other."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.outputs import BaseModelOutput
from formers.nn.fresh import Constant
from formers.nn.nets.leaves import LEAVES
from formers.nn.spec import nets
from formers.nn.tree import Group, hold, place_tensor, wiring


class NetNode(Group):
    """A node of the tree that runs its parts, and what stands between them. Called with a map."""

    def forward(self, *given: Tensor, trace: list[Tensor] | None = None) -> Any:
        """[B, C, H, W] -> the same rank; a record where the ecosystem has one.

        Args:
            given: the map, and before it what the node may add to its result.
            trace: takes the hidden states.
        """
        *held, x = given
        facts = wiring(self).facts
        x = compute(self, facts["run"], x, held, trace)
        return BaseModelOutput(x) if facts["record"] else x


@cache
def node_class(name: str) -> type[NetNode]:
    """The class of a family's nodes of one kind: `ResNetStage`."""
    return type(name, (NetNode,), {"__module__": __name__, "__doc__": NetNode.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if re.fullmatch(r"(?=[A-Z])\w+", name):
        return node_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fill(owner: nn.Module, s: nets.Node) -> None:
    """Register a node's parts on `owner`, and what it runs.

    Raises:
        SpecError: for a name that the module's class has already.
    """
    facts = wiring(owner).facts
    facts["run"], facts["record"] = s.steps, s.record
    facts["keeps"] = nets.KEEP in s.steps
    for name, part in s.parts.items():
        if isinstance(part, nets.Factor):
            value = torch.full((part.width,), part.value)
            place_tensor(owner, name, name, value, Constant(part.value))
            continue
        if isinstance(part, nets.Node):
            made: nn.Module = node_class(part.name)() if part.name else NetNode()
            fill(made, part)
            facts["keeps"] = facts["keeps"] or wiring(made).facts["keeps"]
        else:
            made = LEAVES[type(part)](part)
        hold(owner, name, made)


def call(node: Any, given: tuple[Tensor, ...], trace: list[Tensor] | None) -> Tensor:
    """Call a part; of a record, the map."""
    keeps = trace is not None and wiring(node).facts.get("keeps")
    out = node(*given, trace=trace) if keeps else node(*given)
    found: Tensor = out if isinstance(out, Tensor) else out[0]
    return found


def compute(
    node: Any, run: tuple[nets.Run, ...], x: Tensor, held: list[Tensor], trace: list[Tensor] | None
) -> Tensor:
    """Run parts of `node` and marks; `held` is what was kept for sums."""
    for one in run:
        if isinstance(one, str):
            x = call(node._modules[one], (x,), trace)
        elif isinstance(one, nets.Mark):
            x = mark(one, x, held, trace)
        elif isinstance(one, nets.Plus):
            x = x + call(node._modules[one.part], (held.pop(),), trace)
        elif isinstance(one, nets.Within):
            x = call(node._modules[one.part], (held.pop(), x), trace)
        else:
            x = scaled(node, one, x)
    return x


def mark(one: nets.Mark, x: Tensor, held: list[Tensor], trace: list[Tensor] | None) -> Tensor:
    """What a mark does."""
    if one is nets.BEGIN:
        held.append(x)
    elif one is nets.SUM:
        x = x + held.pop()
    elif one is nets.TIMES:
        x = held.pop() * x
    elif one is nets.LESS:
        x = x - held.pop()
    elif one is nets.KEEP:
        if trace is not None:
            trace.append(x)
    elif one is nets.MEAN:
        x = x.mean((-2, -1))
    elif one is nets.FLAT:
        x = x.flatten(1)
    else:
        x = x.permute(0, 2, 3, 1) if one is nets.ROWS else x.permute(0, 3, 1, 2)
    return x


def scaled(node: Any, one: nets.Scaled, x: Tensor) -> Tensor:
    """Times a factor for every channel."""
    factor: Tensor = getattr(node, one.part)
    return x * (factor if one.rows else factor.view(-1, 1, 1))
