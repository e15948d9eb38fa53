"""Layers as modules, with the names that sharding policies know them by, and the node that runs them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from formers.core.notices import did_you_mean
from formers.core.outputs import BaseModelOutput
from formers.nn import spec
from formers.nn.box_refinement import Follow
from formers.nn.convolutional_positions import add_near, as_many_rows, fewer_rows, place_near
from formers.nn.custom_layers import GradientCheckpointingLayer
from formers.nn.grids import Grid
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.mixers import aside_steps, layer_steps
from formers.nn.mixers.attention import distances, grid_bias, keep_distances
from formers.nn.mixers.offsets import OffsetTable, keep_offsets
from formers.nn.mixers.text_behind_queries import ASIDE
from formers.nn.pages import keep_page_bias, place_page_bias
from formers.nn.passing import Pass
from formers.nn.positions import Buckets, PageBuckets, Rotary
from formers.nn.program import (
    Call,
    Contract,
    Flow,
    Homes,
    Node,
    Step,
    alone,
    build,
    build_row,
    call_foreign,
    compute,
    homes_of,
)
from formers.nn.stems.query_patches import add_between, place_between, put_between
from formers.nn.stems.tokens import look_up, positions_of
from formers.nn.steps import convolution_steps
from formers.nn.tree import Block as Holder
from formers.nn.tree import Group, Row, has, leaf, place, twin, wiring
from formers.nn.watch import looks_back
from formers.stacks.deep_visual_states import at_depth
from formers.stacks.parts import name_parts


class Layer(Node, GradientCheckpointingLayer):
    """One layer of a stack; see `spec.Layer`. [B, T, E] becomes another; two streams stay two."""

    _recomputed_by_stack = True

    def forward(self, hidden_states: Tensor, *args: Any, flow: Flow | None = None, **context: Any) -> Any:
        """Compute.

        Args:
            hidden_states: [B, T, E].
            args: an attention mask, as older code passes it by place; within a pass, a second stream.
            flow: of the pass that this layer is part of; without one it runs by itself.
            context: `attention_mask` [B, T], 1 at real tokens, or additive with four dimensions.
        """
        if flow is None:
            if args and isinstance(args[0], Tensor):
                context.setdefault("attention_mask", args[0])
            flow = alone(hidden_states, **context)
            args = ()
        flow.x = flow.pass_.joined((hidden_states, *args))[0]
        compute(self, flow)
        streams = flow.pass_.apart(flow.x)
        return streams if len(streams) > 1 else flow.x


@cache
def layer_class(name: str) -> type[Layer]:
    """The class of a family's layers: `BertLayer`, `LlamaDecoderLayer`."""
    return type(name, (Layer,), {"__module__": __name__, "__doc__": Layer.__doc__})


def __getattr__(name: str) -> Any:  # so that models can be pickled
    if re.fullmatch(r"(?=[A-Z])\w*(Layer|Block|LayerGroup|Module)", name):
        return layer_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make_layers(s: spec.Stack) -> nn.ModuleList:
    """The layers of a stack.

    Raises:
        SpecError: when names and parts do not fit.
    """
    models: dict[int, Layer] = {}  # layers without storage, for those that are alike
    homes: dict[int, Homes] = {}
    known = set(_PART_ROLES)
    made = nn.ModuleList()
    for layer in s.layers:
        if id(layer) in models:
            made.append(twin(models[id(layer)]))
            continue
        name = layer.name or s.layer_class
        block = layer_class(name)()
        steps = layer_steps(layer, s.width)
        if id(layer) not in homes:
            homes[id(layer)] = homes_of(steps, s.names.layer, name)
            known |= {role for step in steps for role in (*step.roles(), step.home)}
        build(block, steps, s.names.layer, name, homes[id(layer)])
        if layer.aside:
            known |= _place_aside(block, layer, s, name)
        name_parts(block, name)
        made.append(block)
        if all(t.is_meta for t in (*block.parameters(), *block.buffers())):
            models[id(layer)] = block
    _refuse_strange(s, known)
    return made if s.sharing is None else _grouped(made, s.sharing, s.layer_class)


def _place_aside(block: Layer, layer: spec.Layer, s: spec.Stack, name: str) -> set[str]:
    """Register what rows that are set aside go through, as a program of its own; its roles."""
    steps, own = aside_steps(layer, s.width), wiring(block).program
    roles = {role for step in steps for role in (*step.roles(), step.home)}
    wiring(block).program = ()
    build(block, steps, s.names.layer, name)
    wiring(block).facts[ASIDE], wiring(block).program = wiring(block).program, own
    return roles


def make_rows(owner: Holder, s: spec.Stack) -> list[Row]:
    """The layers of a stack whose parts lie in lists of `owner`'s; see `Row`.

    Raises:
        SpecError: when names and parts do not fit.
    """
    known, made = set(_PART_ROLES), []
    for i, layer in enumerate(s.layers):
        steps = layer_steps(layer, s.width)
        known |= {role for step in steps for role in (*step.roles(), step.home)}
        made.append(build_row(owner, steps, s.names.layer, "layer", i))
    _refuse_strange(s, known)
    return made


def _refuse_strange(s: spec.Stack, known: set[str]) -> None:
    known |= {f"cross_{role}" for role in known}
    strange = [role for role in s.names.layer if role not in known]
    if strange:
        raise spec.SpecError(
            f"{s.layer_class}: no part of any layer has the roles "
            f"{', '.join(repr(role) + did_you_mean(role, known) for role in strange)}"
        )


class _Keep(Step):
    """Let callers see what one layer of a group hands to the next."""

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] stays."""
        flow.pass_.keep("hidden_states", flow.x)


def _grouped(layers: nn.ModuleList, sharing: spec.LayerSharing, name: str) -> nn.ModuleList:
    """The layers in groups, which run theirs one after the other."""
    groups = nn.ModuleList()
    for first in range(0, len(layers), sharing.size):
        group = layer_class(f"{name}Group")()
        group.add_module(sharing.inner, layers[first : first + sharing.size])
        plain = Contract(takes_entered=False, is_entered=False, attends=False)
        calls = [Call((sharing.inner, str(i)), plain, crosses=False) for i in range(sharing.size)]
        wiring(group).program = tuple(step for call in calls for step in (call, _Keep()))[:-1]
        groups.append(group)
    return groups


# roles that a family may name although this configuration does not use them
_PARTS = {
    f"{part}_{what}"
    for part in ("adapter", "attention", "cross", "feedforward", "scan")
    for what in (
        "norm",
        "norm_node",
        "inner",
        "outer",
        "outer_node",
        "shift",
        "dropout",
        "gain",
        "gate",
        "skip",
        "add",
    )
}
_MIXED = (
    "r content_bias distance_bias segment_bias segment "
    "position_k position_q q_global k_global v_global sum_norm sum_bias position_dropout q_bias "
    "k_bias v_bias value_conv attention_norm_beside relative offset_k offset_v "
    "reduce reduce_norm depthwise "
    "offsets weights points_scale q_places k_places waves "
    "q k v o qkv kv q_norm k_norm q_down q_up kv_down kv_norm kv_up score_bias weights_dropout "
    "up gate down act inner_dropout feedforward_scale mixture router router_bias share "
    "expert_up expert_gate expert_down expert_act expert_inner_dropout expert_dropout "
    "shared_up shared_gate shared_down shared_act "
    "in conv conv_act select step step_norm step_bias writes_norm reads_norm decay skip gated_norm out "
    "scan_gate scan_act lru_decay lru_input_weight lru_input_bias lru_keep_weight lru_keep_bias"
)
_PART_ROLES = _PARTS | set(_MIXED.split())


class LayersNode(Group):
    """The node of the tree that holds the list of layers: `encoder`. Called with what enters the first."""

    def forward(
        self,
        hidden_states: Tensor,
        *args: Any,
        pass_: Pass | None = None,
        run: LayerRun | None = None,
        **context: Any,
    ) -> BaseModelOutput:
        """[B, T, E] -> a record with `last_hidden_state` [B, T, E].

        By place comes an attention mask, or within a pass a second stream, which the record then has too.
        """
        if pass_ is None:
            pass_ = alone(hidden_states, *args, **context).pass_
        x = pass_.joined((hidden_states, *args))[0]
        beside = self if self._formers.program else None
        run = run or LayerRun(order=self._formers.facts.get("order"), beside=beside)
        last, *second = pass_.apart(through(self, x, pass_, run))
        return BaseModelOutput(last, entity_last_hidden_state=second[0] if second else None)


def through(node: Holder, x: Tensor, pass_: Pass, run: LayerRun) -> Tensor:
    """What the node that holds the layers computes, where they may read fewer rows: [.., E] -> [.., E]."""
    fewer = has(node, "widen")
    entered, below = fewer_rows(node, x, pass_) if fewer else (enter(node, x, pass_), pass_)
    inner = node._modules.get(wiring(node).facts.get("inner", ""))
    if inner is None:
        layers = next(m for m in node._modules.values() if isinstance(m, nn.ModuleList))
        x = run(layers, entered, below)
    elif not isinstance(inner, LayersNode):
        out = call_foreign(inner, (entered,), Flow(entered, below))
        x = out if isinstance(out, Tensor) else out[0]
    elif below.watched:
        x = inner(entered, pass_=below, run=run).last_hidden_state
    else:
        x = through(inner, entered, below, run)
    x = leave(node, x)
    return as_many_rows(node, x, below, pass_) if fewer else x


def enter(owner: nn.Module, x: Tensor, pass_: Pass) -> Tensor:
    """What the owner of a stack's own leaves does with what enters the first layer: [.., in] -> [.., E]."""
    if has(owner, "projection"):
        x = project(leaf(owner, "projection"), x, None, pass_.watched)
    if has(owner, "near_dropout"):
        x = add_near(owner, x, pass_)
    if has(owner, "between"):
        put_between(owner, pass_)
    if has(owner, "score_bias") and isinstance(wiring(owner).facts["distances"], Grid):
        pass_.memo.put(wiring(owner).facts["distances"], grid_bias(leaf(owner, "score_bias"), pass_))
    elif has(owner, "score_bias"):
        spans = {x.shape[1]} if x.dim() > 2 else {span.length for span in pass_.layout.spans}
        for length in spans:
            at = pass_.range(0, length)
            keep_distances(leaf(owner, "score_bias"), wiring(owner).facts["distances"], pass_, at, at)
    if has(owner, "offsets"):
        keep_offsets(leaf(owner, "offsets"), x, pass_)
    pages: PageBuckets | None = wiring(owner).facts.get("pages")
    if pages is not None and not pages.idle:
        keep_page_bias(owner, pages, x, pass_)
    if has(owner, "rotary_table"):
        rule: Rotary = wiring(owner).facts["turns"]
        waves = look_up(owner, "rotary_table", pass_.geometry.positions, "position_ids").to(x.dtype)
        sin, cos = (torch.cat((half, half), dim=-1) for half in waves.chunk(2, dim=-1))
        pass_.memo.put(rule, (cos, sin))
    return x


def leave(owner: nn.Module, x: Tensor) -> Tensor:
    """The norm that closes a stack, where the owner holds it."""
    if has(owner, "final_norm"):
        x = leaf(owner, "final_norm")(x)
    return x


class LayerRun:
    """How the layers of a pass are run.

    Attributes:
        checkpointing: recompute layers in the backward pass instead of keeping their activations.
        drop: probability of leaving a layer out in training; `first`: never the first, whose table others
            read.
        kept: rows of the first tokens, which are all that the last layer computes; None for all rows.
        order: which layer or group runs at each step; None for each once.
        beside: node whose program reads what enters the first layer, and adds to what that returns.
        by_time: whoever looks inside the layers sees [T, B, E].
        goes_on: what enters was noted as a hidden state before.
        between: norm of what each layer gives, before the next reads it.
        skips: numbers of layers that are left out, which nobody sees.
    """

    def __init__(
        self,
        checkpointing: bool = False,
        drop: float = 0.0,
        kept: Tensor | None = None,
        order: Sequence[int] | None = None,
        beside: Any = None,
        by_time: bool = False,
        goes_on: bool = False,
        between: Any = None,
        first: bool = False,
        skips: frozenset[int] = frozenset(),
    ) -> None:
        self.beside, self.by_time, self.goes_on, self.between = beside, by_time, goes_on, between
        self.checkpointing, self.drop, self.kept, self.order = checkpointing, drop, kept, order
        self.first, self.skips = first, skips

    def __call__(self, layers: Sequence[nn.Module | Row] | nn.ModuleList, x: Tensor, pass_: Pass) -> Tensor:
        """Run all layers and note the hidden states on the way."""
        if not self.goes_on:
            x = _noted(x, pass_)
        steps = layers if self.order is None else [layers[group] for group in self.order]
        turned = self.by_time and pass_.watched
        x = x.transpose(0, 1) if turned else x
        last, entered, places = len(steps) - 1, x, pass_.memo.get("between")
        follow: Follow | None = pass_.memo.get("follow")
        deep = pass_.memo.get("taps") is not None or pass_.memo.get("added") is not None
        for i, layer in enumerate(steps):
            if i in self.skips:
                continue
            training = layer.training
            if self.drop and training and (i or not self.first) and float(torch.rand(())) < self.drop:
                pass  # left out; the states pass unchanged
            elif self.checkpointing and training and torch.is_grad_enabled():
                kept = self.kept if i == last else None
                x = checkpoint(_run_layer, layer, x, pass_, i, kept, use_reentrant=False)
            else:
                x = _run_layer(layer, x, pass_, i, self.kept if i == last else None)
            if i == 0 and self.beside is not None:
                flow = Flow(entered, pass_, entered=x)
                compute(self.beside, flow)
                x = flow.x
            x = _noted(x, pass_, turned)
            x = at_depth(x, i, pass_) if deep else x
            if self.between is not None:
                x = self.between(x)
                pass_.keep("intermediate_hidden_states", x)
            if follow is not None:
                follow.after(i, x, pass_)
            if places is not None and i < last:
                x = add_between(x, places[i], pass_)
        return x.transpose(0, 1) if turned else x


def _noted(x: Tensor, pass_: Pass, turned: bool = False) -> Tensor:
    """Note what callers see of states, and return what goes on.

    In a pass with gradients that follows from what is seen, so that the states lie in the graph.
    """
    if "hidden_states" not in pass_.trace:
        return x
    seen = x.transpose(0, 1) if turned else x
    if not (pass_.watched and looks_back(True)):
        pass_.keep("hidden_states", seen)
        return x
    first = pass_.memo.get("beside")
    if pass_.geometry.second is not None:
        parts = pass_.apart(x)
        x = pass_.joined(parts)[0]
        pass_.trace["hidden_states"].append(parts)
        return x
    if first is not None:
        seen, rest = x[..., :first, :], x[..., first:, :]
        x = torch.cat((seen, rest), -2)
    elif turned:
        x = seen.transpose(0, 1)
    pass_.keep("hidden_states", seen)
    return x


def _run_layer(layer: nn.Module | Row, x: Tensor, pass_: Pass, index: int, kept: Tensor | None) -> Tensor:
    follow: Follow | None = pass_.memo.get("follow")
    if follow is not None:
        follow.before(index, pass_)
    first: tuple[int, int] | None = pass_.memo.get("first stream")  # where a second one begins, and its axis
    flow = Flow(x, pass_, index, kept)
    if first is not None:
        flow.x, rest = x.tensor_split(first[:1], dim=first[1])
        flow.second = Flow(rest, pass_, index, beside=pass_.memo.get("streams") is None)
    if not pass_.watched or isinstance(layer, Row):
        compute(layer, flow)
        found = flow.x
    else:
        own = isinstance(layer, Layer)
        given = pass_.apart(flow.x)
        out: Any = layer(*given, flow=flow) if own else call_foreign(layer, given, flow)
        found = pass_.joined(out)[0] if isinstance(out, (tuple, list)) else out
    return found if first is None or flow.second is None else torch.cat((found, flow.second.x), first[1])


def _layers_node(owner: Holder, name: str) -> Any:
    """The node of that name, made where it is missing."""
    if owner._modules.get(name) is None:
        owner.add_module(name, LayersNode())
    return owner._modules[name]


def place_layers(owner: Holder, s: spec.Stack) -> tuple[str, ...]:
    """Register the layers, under a node of their own where the tree has one.

    Returns:
        The node's names; empty where the owner itself holds the list.
    """
    *home, name = s.names.layers.split(".")
    if len(home) > 2:
        raise spec.SpecError(f"the layers lie two nodes deep at most, not under {s.names.layers!r}")
    outer: Any = owner
    if home:
        outer = _layers_node(owner, home[0])
    node = outer
    if len(home) > 1:
        node = _layers_node(outer, home[1])
        wiring(outer).facts["inner"] = home[1]
    beside = {role: str(path).split(".") for role, path in s.names.stack.items() if path}

    def place_own(role: str, leaf_: nn.Module) -> Holder:
        *above, last = beside[role]
        holder: Holder = node if above == home else outer if above == home[:1] else owner
        place(holder, role, ".".join(beside[role]) if holder is owner else last, leaf_)
        return holder

    if "projection" in beside:
        place_own("projection", linear("linear", s.stem.width, s.width))
    if s.near is not None:
        place_near(s.near, s.width, place_own)
    if s.between:
        place_between(node, beside["between"][-1], s.stem, len(s.layers))
    if s.sharing is not None:
        wiring(node).facts["order"] = s.sharing.order
    if name:
        node.add_module(name, make_layers(s))
    else:
        wiring(node).facts["rows"] = make_rows(node, s)
    if "score_bias" in beside:
        assert s.attention is not None
        rule = s.attention.score_bias
        assert isinstance(rule, Buckets | Grid)
        holder = place_own("score_bias", distances(rule, s.attention.heads.query))
        wiring(holder).facts["distances"] = rule
    if s.attention is not None and isinstance(s.attention.score_bias, PageBuckets):
        place_page_bias(s.attention.score_bias, s.attention.heads.query, place_own)
    if "offsets" in beside:
        assert isinstance(s.attention, spec.SharedOffsets)
        place_own("offsets", OffsetTable(s.attention))
    if "rotary_table" in beside:
        (turns,) = s.rotaries
        places = spec.LearnedPositions(turns.trained_length, fixed=True)
        wiring(place_own("rotary_table", positions_of(places, turns.width))).facts["turns"] = turns
    if s.convolution is not None:
        inside = {role: ".".join(path[len(home) :]) for role, path in beside.items()}
        build(node, convolution_steps(s.convolution, s.width), inside)
    if s.final_norm is not None:
        place_own("final_norm", norm(s.final_norm, s.width))
    if name:
        wiring(owner).roles["layers"] = (*home, name)
    return tuple(home)
