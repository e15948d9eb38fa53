"""Blocks of layers that read fewer places each, and layers over all tokens behind them. See `spec.Funnel`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.core.outputs import BaseModelOutput
from formers.nn import spec
from formers.nn.dropout import Dropout
from formers.nn.fresh import sinusoids
from formers.nn.layout import whole
from formers.nn.mixers.pooled_attention import Places, Reach, distances
from formers.nn.passing import Pass
from formers.nn.program import Flow, alone
from formers.nn.steps import Drop
from formers.nn.tree import Block, Group, has, leaf, place, wiring
from formers.stacks.layer import LayerRun, make_layers
from formers.stacks.stack import Ask, Inputs, States, place_stack, run


def place_funnel(block: Block, f: spec.Funnel, whole: bool) -> None:
    """Register every leaf; the layers over all tokens where it is the `whole`."""
    first = f.first
    place_stack(block, replace(first, layers=(), names=replace(first.names, layers="")))
    made = [make_layers(replace(first, layers=f.layers(i))) for i in range(len(f.blocks) + 1)]
    _place_node(block, f, "blocks", BlocksNode(), nn.ModuleList(made[:-1]))
    if whole:
        _place_node(block, f, "last", LastNode(), made[-1])
    facts = wiring(block).facts
    facts["spec"], facts["funnel"] = first, f


def _place_node(block: Block, f: spec.Funnel, role: str, node: Group, layers: nn.ModuleList) -> None:
    name, _, inside = f.paths[role].partition(".")
    place(block, role, name, node)
    for wave in ("sine_dropout", "cosine_dropout"):
        place(node, wave, f.paths[wave], Dropout(f.dropout))
    place(node, "layers", inside, layers)
    wiring(node).facts["funnel"] = f


def run_funnel(block: Block, inputs: Inputs, ask: Ask, checkpointing: bool = False) -> States:
    """Compute; padding is, too, since places are made of it.

    Raises:
        ValueError: for what `stack.run` refuses.
    """
    f: spec.Funnel = wiring(block).facts["funnel"]
    found = run(block, inputs, replace(ask, first_only=False, keep_padding=True))
    pass_, watched = found.pass_, found.watched
    batch, length = pass_.layout.batch, pass_.layout.length
    types = inputs.given.get("token_type_ids")
    pass_.memo.put("types", None if types is None else types.expand(batch, length))
    x = whole(found.rows, batch)
    blocks: Any = leaf(block, "blocks")
    if watched:
        out = blocks(x, pass_=pass_, checkpointing=checkpointing)
        states = [*out.hidden_states[:-1], out[0]]
    else:
        states = run_blocks(blocks, x, pass_, checkpointing)
    x = states[-1]
    if has(block, "last"):
        last: Any = leaf(block, "last")
        read = {"final_hidden": x, "first_block_hidden": states[f.blocks[0]]}
        x = (
            last(**read, pass_=pass_, checkpointing=checkpointing)[0]
            if watched
            else run_last(last, x, states[f.blocks[0]], pass_, checkpointing)
        )
    else:
        pass_ = pass_.over(x.shape[1], None)
    held = pass_.trace.get("hidden_states")
    if held is not None:
        held[:] = [whole(rows, batch) for rows in held]
    return States(x, pass_, spread_out=not watched)


class BlocksNode(Group):
    """The node of the tree that holds the blocks: `encoder`. Called with what enters the first."""

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        pass_: Pass | None = None,
        checkpointing: bool = False,
        **_: Any,
    ) -> BaseModelOutput:
        """[B, T, E] -> `last_hidden_state` [B, M, E], and what entered and every layer returned."""
        pass_ = pass_ or _by_itself(inputs_embeds, attention_mask, token_type_ids)
        states = run_blocks(self, inputs_embeds, pass_, checkpointing)
        return BaseModelOutput(states[-1], hidden_states=tuple(states))


class LastNode(Group):
    """The node of the tree that holds the layers over all tokens: `decoder`."""

    def forward(
        self,
        final_hidden: Tensor,
        first_block_hidden: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        pass_: Pass | None = None,
        checkpointing: bool = False,
        **_: Any,
    ) -> BaseModelOutput:
        """[B, M, E] and [B, T, E] -> `last_hidden_state` [B, T, E]."""
        pass_ = pass_ or _by_itself(first_block_hidden, attention_mask, token_type_ids)
        return BaseModelOutput(run_last(self, final_hidden, first_block_hidden, pass_, checkpointing))


def _by_itself(x: Tensor, mask: Tensor | None, types: Tensor | None) -> Pass:
    pass_ = alone(x, mask).pass_
    pass_.memo.put("types", types)
    return pass_


def run_blocks(node: Group, x: Tensor, pass_: Pass, checkpointing: bool) -> list[Tensor]:
    """[B, T, E] -> what entered and every layer returned; if nobody looks, the first few and the last."""
    f: spec.Funnel = wiring(node).facts["funnel"]
    places, waves = _all_places(x, pass_), _Waves(node, f, x, pass_)
    states, count = [x], f.blocks[0] + 1
    for i, layers in enumerate(leaf(node, "layers")):
        order = [number for number in range(f.blocks[i]) for _ in range(f.repeats[i])]
        reach = None
        if i and places.count > 1 + f.lone:
            before, places = places, _halved(places, f)
            seen, keys = (before, _rows(x, pass_)) if f.queries else (places, None)
            reach, x = Reach(places, seen, waves.between(places, seen), keys), halved(x, f, _POOLS[f.pool])
        plain = Reach(places, places, waves.between(places, places))
        shared = _within(pass_, plain)
        for number in order:
            inside = _within(pass_, reach) if reach else _own(shared, plain, x)
            x, reach = _run(layers[number], x, inside, checkpointing), None
            states = [*states, x] if pass_.watched or len(states) < count else [*states[:count], x]
    return states


def run_last(node: Group, x: Tensor, first: Tensor, pass_: Pass, checkpointing: bool) -> Tensor:
    """What places became [B, M, E], and a state from the first block [B, T, E] -> [B, T, E]."""
    f: spec.Funnel = wiring(node).facts["funnel"]
    x = spread(x, f, first.shape[1]) + first
    places, waves = _all_places(x, pass_), _Waves(node, f, x, pass_)
    plain = Reach(places, places, waves.between(places, places))
    shared = _within(pass_, plain)
    pass_.keep("hidden_states", x)
    for layer in leaf(node, "layers"):
        x = _run(layer, x, _own(shared, plain, x), checkpointing)
    return x


def _within(pass_: Pass, reach: Reach) -> Pass:
    """The pass of layers that reach so far."""
    made = pass_.over(reach.query.count, reach.query.real)
    made.memo.put("reach", reach)
    return made


def _own(shared: Pass, reach: Reach, x: Tensor) -> Pass:
    """The pass of one layer: where somebody looks, who edits what it reads edits what asks alone."""
    return _within(shared, replace(reach, keys=x)) if shared.watched else shared


def _run(layer: nn.Module, x: Tensor, pass_: Pass, checkpointing: bool) -> Tensor:
    """[B, T, E] -> [B, T, E]."""
    return whole(LayerRun(checkpointing, goes_on=True)((layer,), _rows(x, pass_), pass_), x.shape[0])


def _rows(x: Tensor, pass_: Pass) -> Tensor:
    """[B, T, E] as layers read it."""
    return x if pass_.watched else x.flatten(0, 1)


def _all_places(x: Tensor, pass_: Pass) -> Places:
    return Places(x.shape[1], types=pass_.memo.get("types"), real=pass_.visibility.real)


def _halved(places: Places, f: spec.Funnel) -> Places:
    """Pairs of them: one counts where both do, and is of the first one's segment."""
    types, real = places.types, places.real
    count = places.count - f.lone * (1 + f.cut)
    step = 2 * places.step
    return Places(
        (count + 1) // 2 + f.lone,
        first=(1 - step) * f.lone,
        step=step,
        types=None if types is None else halved(types, f, lambda pairs: pairs[:, :, 0]),
        real=None if real is None else halved(real, f, partial(torch.all, dim=2)),
    )


_POOLS = {"mean": partial(torch.mean, dim=2), "max": partial(torch.amax, dim=2)}


def halved(x: Tensor, f: spec.Funnel, pool: Any) -> Tensor:
    """[B, T, ..] -> [B, M, ..], what `pool` makes of pairs [B, m, 2, ..]; one that is left over is a pair."""
    rest = x[:, f.lone : x.shape[1] - (f.lone and f.cut)]
    if rest.shape[1] % 2:
        rest = torch.cat((rest, rest[:, -1:]), dim=1)
    found: Tensor = pool(rest.view(x.shape[0], -1, 2, *x.shape[2:]))
    return torch.cat((x[:, :1], found), dim=1) if f.lone else found


def spread(x: Tensor, f: spec.Funnel, length: int) -> Tensor:
    """[B, M, E] -> [B, T, E]: every token's place; zeros where a token was left out."""
    lone = int(f.lone)
    rest = x[:, lone:].repeat_interleave(2 ** (len(f.blocks) - 1), dim=1)
    rest = nn.functional.pad(rest, (0, 0, 0, length - lone - rest.shape[1]))  # or cut
    return torch.cat((x[:, :1], rest), dim=1) if f.lone else rest


class _Waves:
    """Sines and cosines of all distances in rows of one length, or of the places in them."""

    def __init__(self, node: Group, f: spec.Funnel, x: Tensor, pass_: Pass) -> None:
        self.length, self.factors = x.shape[1], f.factors
        start, stop = (0, self.length) if f.factors else (-2 * self.length, 2 * self.length)

        def made() -> Tensor:
            at = torch.arange(start, stop, device=x.device)
            return sinusoids(at, x.shape[-1], closed=False).to(x.dtype)

        self.plain = pass_.memo.once("waves", made)
        flows = [Flow(part, pass_) for part in self.plain.chunk(2, dim=-1)]
        for role, flow in zip(("sine_dropout", "cosine_dropout"), flows, strict=True):
            Drop(role, f.dropout).run(node, flow)
        self.dropped = torch.cat([flow.x for flow in flows], dim=-1)

    def between(self, query: Places, key: Places) -> Tensor | tuple[Tensor, Tensor]:
        """What `Reach.waves` holds."""
        if not self.factors:
            return self._at(self.dropped, distances(query, key), 2 * self.length)
        ends = [range(p.first, p.first + p.step * p.count, p.step) for p in (query, key)]
        return self._at(self.dropped, ends[0], 0), self._at(self.plain, ends[1], 0)

    def _at(self, waves: Tensor, places: range, zero: int) -> Tensor:
        """Rows; what stands beyond the first and the last is of no use to anybody."""
        at = torch.arange(places.start, places.stop, places.step, device=waves.device) + zero
        return waves.index_select(0, at.clamp(0, len(waves) - 1))
