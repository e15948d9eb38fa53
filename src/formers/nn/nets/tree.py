"""The nodes of a network over maps: made from their specs, called one inside the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.outputs import BaseModelOutput
from formers.nn.fresh import Constant
from formers.nn.nets.leaves import leaf_of
from formers.nn.nets.multi_scale import STEPS, of_several
from formers.nn.spec import nets
from formers.nn.spec.multi_scale import Placed
from formers.nn.tree import Group, hold, place_tensor, wiring


class NetNode(Group):
    """A node of the tree that runs its parts, and what stands between them. Called with a map."""

    def forward(
        self, *given: Any, trace: list[Tensor] | None = None, size: tuple[int, int] | None = None
    ) -> Any:
        """[B, C, H, W], or several -> the same rank; a record where the ecosystem has one.

        Args:
            given: the map, or maps, and before it what the node may add to its result.
            trace: takes the hidden states.
            size: what steps are told that ask for it.
        """
        *held, x = given
        facts = wiring(self).facts
        x = compute(self, facts["run"], x, held, trace, size)
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
    facts["told"] = any(isinstance(one, Placed) or getattr(one, "told", False) for one in s.steps)
    for name, part in s.parts.items():
        if isinstance(part, nets.Factor):
            value = torch.full((part.width,), part.value)
            place_tensor(owner, name, name, value, Constant(part.value))
            continue
        if isinstance(part, nets.Node):
            made: nn.Module = node_class(part.name)() if part.name else NetNode()
            fill(made, part)
            for one in ("keeps", "told"):
                facts[one] = facts[one] or wiring(made).facts[one]
        else:
            made = leaf_of(part)
        hold(owner, name, made)


def part_of(node: Any, path: str) -> Any:
    """The part of that name now, or of a list within."""
    for name in path.split("."):
        node = node._modules[name]
    return node


def call(node: Any, given: tuple[Any, ...], trace: list[Tensor] | None, size: Any = None) -> Any:
    """Call a part; of a record, the map."""
    facts, own = wiring(node).facts, {}
    if trace is not None and facts.get("keeps"):
        own["trace"] = trace
    if size is not None and facts.get("told"):
        own["size"] = size
    out = node(*given, **own)
    return out[0] if isinstance(out, BaseModelOutput) else out


def compute(
    node: Any,
    run: Sequence[nets.Run],
    x: Any,
    held: list[Any],
    trace: list[Tensor] | None,
    size: tuple[int, int] | None = None,
) -> Any:
    """Run parts of `node` and marks; `held` is what was kept for sums, `size` what steps are told."""

    def again(steps: Sequence[nets.Run], x: Any, held: Sequence[Any] = (), size: Any = None) -> Any:
        return compute(node, steps, x, list(held), trace, size)

    for one in run:
        if isinstance(one, str):
            x = call(part_of(node, one), (x,), trace, size)
        elif isinstance(one, nets.Mark):
            x = mark(one, x, held, trace)
        elif isinstance(one, nets.Plus):
            x = x + call(part_of(node, one.part), (held.pop(),), trace)
        elif isinstance(one, nets.Within):
            given = (x, held.pop()) if one.near else (held.pop(), x)
            x = call(part_of(node, one.part), given, trace, size)
        elif isinstance(one, nets.Step):
            x = STEPS[type(one)](one, node, x, held, size, again)
        else:
            x = scaled(node, one, x)
    return x


def mark(one: nets.Mark, x: Any, held: list[Any], trace: list[Tensor] | None) -> Any:
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
    elif one is nets.PLACES:
        x = x.flatten(2).transpose(1, 2)
    elif one in (nets.ROWS, nets.MAPS):
        x = x.permute(0, 2, 3, 1) if one is nets.ROWS else x.permute(0, 3, 1, 2)
    else:
        x = of_several(one, x, held)
    return x


def scaled(node: Any, one: nets.Scaled, x: Tensor) -> Tensor:
    """Times a factor for every channel."""
    factor: Tensor = getattr(node, one.part)
    return x * (factor if one.rows else factor.view(-1, 1, 1))
