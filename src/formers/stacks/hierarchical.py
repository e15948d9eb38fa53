"""Stacks over the maps that the ones before them made. See `spec.Stages`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from formers.core.outputs import BaseModelOutput
from formers.nn import spec
from formers.nn.layout import whole
from formers.nn.leaves import norm
from formers.nn.passing import Pass, plain_pass
from formers.nn.stems.overlapping import OverlappingStem
from formers.nn.tree import Block, Group, descend, leaf, place, wiring
from formers.nn.watch import looks_back, watched
from formers.stacks.layer import LayerRun, make_layers
from formers.stacks.stack import Ask, States


class PatchesNode(Group):
    """The node that cuts a map into patches: [B, C, height, width] -> [B, T, E], patches down, across."""

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, int, int]:
        """Project every patch."""
        stem: OverlappingStem = self._formers.facts["stem"]
        pass_ = _pass(stem, pixel_values, Ask(), {}, seen=True)
        return (stem.run(self, {"pixel_values": pixel_values}, pass_), *stem.grid(pixel_values))


class StagesNode(Group):
    """The node of the tree that holds the stages: `encoder`. Called with pixels."""

    def forward(self, pixel_values: Tensor, *, ask: Ask | None = None, checkpointing: bool = False) -> Any:
        """[B, C, height, width] -> a record: the last map, the stages' maps, attention weights if asked."""
        found = run_stages(self, pixel_values, ask or Ask(padded=True), checkpointing)
        return BaseModelOutput(shown(self, found), hidden_states=found.hidden, attentions=found.attentions)


def place_stages(block: Block, s: spec.Stages) -> None:
    """Register every stage, below the node that their names begin with."""
    home = s.stacks[0].names.layers.split(".")[0]
    node = StagesNode()
    place(block, "stages", home, node)
    facts = wiring(node).facts
    facts["stages"], wiring(block).facts["spec"] = s, s.stacks[-1]
    facts["stems"] = [OverlappingStem(stack.stem) for stack in s.stacks]
    for i, stack in enumerate(s.stacks):
        names = replace(
            stack.names,
            embeddings=_inside(stack.names.embeddings, home, i),
            stack=_inside(stack.names.stack, home, i),
        )
        stem, groups = facts["stems"][i], str(names.embeddings["patch"]).split(".")[:-1]
        patches = PatchesNode()
        descend(node, tuple(groups[:-1])).add_module(groups[-1], patches)
        wiring(patches).facts["stem"] = stem
        start = ".".join(groups) + "."
        stem.place(patches, {role: str(path).removeprefix(start) for role, path in names.embeddings.items()})
        wiring(node).roles[f"patches{i}"] = tuple(groups)
        place(node, f"layers{i}", _inside({"": stack.names.layers}, home, i)[""], make_layers(stack))
        assert stack.final_norm is not None
        place(node, f"norm{i}", str(names.stack["final_norm"]), norm(stack.final_norm, stack.width))


def _inside(paths: spec.Paths, home: str, number: int) -> dict[str, str]:
    """Paths of one stage, from the node on."""
    return {role: str(path).removeprefix(f"{home}.").format(i=number) for role, path in paths.items()}


def _pass(stem: OverlappingStem, maps: Tensor, ask: Ask, trace: dict[str, list[Any]], seen: bool) -> Pass:
    """That of the layers over one map."""
    shape = stem.shape({"pixel_values": maps})
    made = plain_pass(shape, maps.device, ask.backend, trace, seen)
    made.memo.put("map", stem.grid(maps))
    return made


def run_stages(node: Any, maps: Tensor, ask: Ask, checkpointing: bool = False) -> States:
    """Compute. What is kept as hidden states are the stages' maps, [B, E, height, width] each.

    Raises:
        TypeError: for what is no tensor.
        ValueError: for maps that no stage can read.
    """
    s: spec.Stages = wiring(node).facts["stages"]
    seen = watched(node) if ask.padded is None else ask.padded
    weights: dict[str, list[Any]] = {"attentions": []} if ask.attentions else {}
    kept: list[Tensor] = []
    for i in range(len(s.stacks)):
        patches: Any = leaf(node, f"patches{i}")
        stem = wiring(node).facts["stems"][i]
        pass_ = _pass(stem, maps, ask, weights, seen)
        x = patches(maps)[0] if seen else stem.run(patches, {"pixel_values": maps}, pass_)
        x = LayerRun(checkpointing, goes_on=True)(leaf(node, f"layers{i}"), x, pass_)
        x = leaf(node, f"norm{i}")(x)
        down, across = pass_.memo.get("map")
        maps = x.reshape(-1, down, across, x.shape[-1]).permute(0, 3, 1, 2).contiguous()
        kept.append(maps)
    x = whole(x, maps.shape[0])
    if s.rows:
        kept[-1] = x
    elif looks_back(ask.hidden):
        x = maps.flatten(2).transpose(1, 2)  # what follows from the map that callers see
    pass_ = replace(pass_, trace={**weights, **({"hidden_states": kept} if ask.hidden else {})})
    return States(x, pass_, spread_out=True)


def shown(node: Any, states: States) -> Tensor:
    """The last states as callers see them: a map, or rows."""
    s: spec.Stages = wiring(node).facts["stages"]
    last = states.last
    if s.rows:
        return last
    down, across = states.pass_.memo.get("map")
    return last.reshape(last.shape[0], down, across, -1).permute(0, 3, 1, 2).contiguous()
