"""Layers behind an encoder, which make its rows fewer. Roles: see `spec.PostEncoder`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.mixers import layer_steps
from formers.nn.mixers.conformer import fresh_convolution
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.passing import Pass
from formers.nn.program import Flow, Inner, Step, alone, build, place_inner, run_inner
from formers.nn.steps import Drop
from formers.nn.tree import Block, Group, has, leaf, place, wiring
from formers.stacks.layer import LayerRun, layer_class
from formers.stacks.stack import States


class Fold(Step):
    """A convolution with a gate, and one beside it for what the next result is added to, where there is one.

    [B, T, E] -> [B, T', E]; flat rows [N', E] for layers that nobody watches.
    """

    def __init__(self, s: spec.PostEncoder) -> None:
        super().__init__()
        self.apart = s.layer is not None
        self.optional = frozenset({"conv_gate"})
        self.leaves = {"conv": partial(_convolution, s), "conv_gate": lambda: nn.GLU(dim=1)}
        if self.apart:
            self.leaves["beside_conv"] = partial(_convolution, s)
            for role in ("conv_norm", "beside_norm"):
                self.leaves[role] = partial(norm, s.norm, s.width)

    def run(self, node: Any, flow: Flow) -> None:
        """Read several rows for one."""
        x = flow.x
        if self.apart:
            flow.entered = self._fold(node, flow, leaf(node, "beside_norm")(x), "beside_conv")
            x = leaf(node, "conv_norm")(x)
        flow.x = self._fold(node, flow, x, "conv")

    def _fold(self, node: Any, flow: Flow, x: Tensor, role: str) -> Tensor:
        x = leaf(node, role)(x.transpose(1, 2))  # [B, 2 E, T']
        x = leaf(node, "conv_gate")(x) if has(node, "conv_gate") else F.glu(x, dim=1)
        x = x.transpose(1, 2)
        return x if flow.watched or not self.apart else x.flatten(0, 1)


def _convolution(s: spec.PostEncoder) -> nn.Conv1d:
    made = nn.Conv1d(s.width, 2 * s.width, s.kernel, s.stride, s.padding)
    return fresh_convolution(made, s.width * s.kernel)


class FoldingNode(Group):
    """The node that holds the layers, and the projection before them. [B, T, E] -> [B, T', E']."""

    row_wise = True

    def __init__(self, s: spec.PostEncoder) -> None:
        super().__init__()
        self._formers.facts["behind"] = s

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, pass_: Pass | None = None
    ) -> Tensor:
        """Compute; called alone, `attention_mask` [B, T] is 1 at real rows."""
        pass_ = alone(hidden_states, attention_mask).pass_ if pass_ is None else pass_
        return fold(self, hidden_states, pass_, LayerRun())


def fold(node: FoldingNode, x: Tensor, pass_: Pass, how: LayerRun) -> Tensor:
    """Run the layers of that node. [B, T, E] -> [B, T', E'].

    Raises:
        ValueError: for sounds of which no row would be left.
    """
    s: spec.PostEncoder = wiring(node).facts["behind"]
    if s.rows(x.shape[1]) < 1:
        raise ValueError(
            f"the sounds make {x.shape[1]} rows, of which the layers behind the encoder make none: pad them"
        )
    if has(node, "projection"):
        shape = x.shape[:-1]
        x = project(leaf(node, "projection"), x if pass_.watched else x.flatten(0, 1), None, pass_.watched)
        x = leaf(node, "projection_norm")(x).view(*shape, -1)
    counts = None if pass_.visibility.real is None else pass_.visibility.real.sum(1)  # [B]
    for layer in leaf(node, "layers"):
        length = int(s.fewer(x.shape[1]))
        counts = None if counts is None else s.fewer(counts)
        x = how([layer], x, _over(pass_, length, counts)).view(x.shape[0], length, -1)
    return x


def _over(pass_: Pass, length: int, counts: Tensor | None) -> Pass:
    """The pass over so many rows of each sound, the first `counts` [B] of which are real."""
    real = None if counts is None else torch.arange(length, device=counts.device) < counts[:, None]
    return replace(pass_.over(length, real), trace={})


def place_behind(block: Block, s: spec.PostEncoder) -> None:
    """Register every leaf, under the paths of the spec."""
    first = s.first
    if first is not None:

        def steps() -> list[Step]:
            return [*feedforward_steps(first, s.read), Drop("dropout", s.first_dropout)]

        place_inner(block, "first_", Inner(steps), s.own)
    if s.path:
        _place_layers(block, s)
    if s.last is not None:
        place(block, "behind_norm", s.own["behind_norm"], norm(s.last, s.width))


def _place_layers(block: Block, s: spec.PostEncoder) -> None:
    node = FoldingNode(s)
    if s.read != s.width:
        place(node, "projection", "proj", linear("linear", s.read, s.width))
        place(node, "projection_norm", "proj_layer_norm", norm(s.norm, s.width))
    layers = nn.ModuleList()
    for _ in range(s.count):
        made: Any = layer_class(s.layer_class)()
        after = [] if s.layer is None else layer_steps(s.layer, s.width)
        build(made, [*after[:1], Fold(s), *after[1:]], s.names, s.layer_class)
        layers.append(made)
    place(node, "layers", "layers", layers)
    place(block, "behind", s.path, node)


@dataclass(eq=False)
class Folded(States):
    """States with fewer rows than what the encoder's layers made.

    Attributes:
        before: the encoder's own, whose hidden states and weights callers see.
        closed: a norm closes all, and what it makes is the last hidden state that callers see.
    """

    before: States | None = None
    closed: bool = False

    def kept(self, name: str) -> tuple[Tensor, ...] | None:
        """As the encoder has it."""
        found = None if self.before is None else self.before.kept(name)
        if found is None or name != "hidden_states" or not self.closed:
            return found
        return (*found[:-1], self.last)


def run_behind(block: Block, states: States, checkpointing: bool) -> States:
    """What the layers make of an encoder's states, which hold padding too."""
    s, x, pass_ = wiring(block).facts["spec"].behind, states.rows, states.pass_
    if has(block, "first_"):
        x = x + 0.5 * run_inner(block, "first_", x, Flow(x, pass_))
    if not has(block, "behind"):
        rows = _normed(block, x)
        return Folded(rows, pass_, extras=states.extras, before=states, closed=s.last is not None)
    node, x = leaf(block, "behind"), x.view(states.layout.batch, states.layout.length, -1)
    if not isinstance(node, FoldingNode):
        x = node(x)
    elif states.watched:
        x = node(x, pass_=pass_)
    else:
        x = fold(node, x, pass_, LayerRun(checkpointing))
    real = pass_.visibility.real
    over = _over(pass_, x.shape[1], None if real is None else s.rows(real.sum(1)))
    rows = _normed(block, x if states.watched else x.flatten(0, 1))
    return Folded(rows, over, extras=states.extras, before=states, closed=s.last is not None)


def _normed(block: Block, x: Tensor) -> Tensor:
    """Behind the norm, where there is one."""
    found: Tensor = leaf(block, "behind_norm")(x) if has(block, "behind_norm") else x
    return found
