"""A stack whose middle layers read a place for several characters. Roles: see `spec.Downsampled`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.layout import whole
from formers.nn.passing import Pass
from formers.nn.program import Flow, Inner, Step, place_inner, run_inner
from formers.nn.steps import Activate, Column, Drop, Normalise, dense
from formers.nn.tree import Block, has, leaf, wiring
from formers.stacks.layer import LayerRun, place_layers
from formers.stacks.stack import Ask, Inputs, States, place_stack, run, run_layers


class Convolve(Step):
    """A convolution over whole rows: [B, T, in] -> [B, T', out], padded with zeros by `ends`."""

    def __init__(
        self, read: int, made: int, kernel: int, stride: int, ends: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.ends = ends
        self.leaves = {"conv": lambda: nn.Conv1d(read, made, kernel, stride)}

    def run(self, node: Any, flow: Flow) -> None:
        """What was read stays at hand."""
        flow.read, x, conv = flow.x, flow.x, leaf(node, "conv")
        x = nn.functional.pad(x, (0, 0, *self.ends)) if any(self.ends) else x
        if flow.watched or type(conv) is not nn.Conv1d:
            flow.x = conv(x.transpose(1, 2)).transpose(1, 2)
        else:  # one product, of which a CPU makes more than of the convolution
            reach = x.unfold(1, conv.kernel_size[0], conv.stride[0]).flatten(2)  # [B, T', in * kernel]
            flow.x = nn.functional.linear(reach, conv.weight.flatten(1), conv.bias)


class Lead(Step):
    """The first of what was read stands before what was made, whose last is left out."""

    def run(self, node: Any, flow: Flow) -> None:
        """[B, T', E] stays as long."""
        assert flow.read is not None
        flow.x = torch.cat((flow.read[:, :1], flow.x[:, :-1]), dim=1)


def place_downsampled(block: Block, d: spec.Downsampled, pooler: bool) -> None:
    """Register every leaf, under the paths of the spec."""
    width, before = d.first.width, (d.kernel - 1) // 2

    def down() -> list[Step]:
        made = Convolve(width, width, d.rate, d.rate)
        return [made, Activate("act", d.activation), Lead(), Normalise("norm", d.norm, width)]

    def up() -> list[Step]:
        made = Convolve(2 * width, width, d.kernel, 1, (before, d.kernel - 1 - before))
        normed = Normalise("norm", d.norm, width)
        return [made, Activate("act", d.activation), normed, Drop("dropout", d.dropout)]

    def place_list(role: str, layers: tuple[spec.Layer, ...]) -> None:
        names = replace(d.first.names, layers=d.paths[role])
        place_layers(block, replace(d.first, layers=layers, names=names))
        wiring(block).roles[role] = wiring(block).roles["layers"]

    place_stack(block, d.first)
    own = wiring(block).roles["layers"]
    place_inner(block, "down_", Inner(down), d.paths)
    place_list("deep", d.layers)
    place_inner(block, "up_", Inner(up), d.paths)
    place_list("last", d.last)
    wiring(block).roles["layers"] = own
    wiring(block).facts["downsampled"] = d
    if pooler:
        read = dense("dense", width, width, act="tanh", act_role="act")
        place_inner(block, "pooler_", Inner(lambda: [Column("left"), read]), d.paths)


def run_downsampled(block: Block, inputs: Inputs, ask: Ask, checkpointing: bool = False) -> States:
    """Compute; padding is, too, since characters are convolved with it.

    Raises:
        ValueError: for texts of which no place can be made, and what `stack.run` refuses.
    """
    d: spec.Downsampled = wiring(block).facts["downsampled"]
    found = run(block, inputs, replace(ask, first_only=False, keep_padding=True), checkpointing)
    chars, watched = found.pass_, found.watched
    batch, length = chars.layout.batch, chars.layout.length
    if length < d.rate:
        raise ValueError(
            f"the texts have {length} characters, but {d.rate} make the first place (downsampling_rate): pad "
            f"them, as pad_to_multiple_of={d.rate} of a tokenizer does"
        )
    x = whole(found.rows, batch)
    places = run_inner(block, "down_", x, Flow(x, chars))  # [B, M, E]
    deep = _over_places(chars, d.rate, places)
    first = ask.first_only and not (watched or chars.trace) and has(block, "pooler_")
    alone = first and bool(d.layers) and all(part.mixer.first_alone for part in d.layers[-1].parts)
    how = LayerRun(checkpointing, kept=deep.layout.starts(x.device) if alone else None)
    places = whole(run_layers(block, "deep", _rows(places, watched), deep, how), batch)
    pooled = run_inner(block, "pooler_", places, Flow(places, deep)) if has(block, "pooler_") else None
    if first:  # no character is looked at again
        return States(places[:, 0], deep, pooled=pooled, first_only=True)
    at = (chars.range(0, length) // d.rate + 1).clamp(max=places.shape[1] - 1)
    both = torch.cat((x, places.index_select(1, at)), dim=-1)  # [B, T, 2 E]
    x = run_inner(block, "up_", both, Flow(both, chars))
    x = run_layers(block, "last", _rows(x, watched), chars, LayerRun(checkpointing))
    x = whole(x, batch)
    held = chars.trace.get("hidden_states")
    if held is not None:
        held[:] = [whole(rows, batch) for rows in held]
    return States(x, chars, pooled=pooled, spread_out=not watched)


def _rows(x: Tensor, watched: bool) -> Tensor:
    """[B, T, E] as layers read it."""
    return x if watched else x.flatten(0, 1)


def _over_places(chars: Pass, rate: int, places: Tensor) -> Pass:
    """The pass over places [B, M, E]: a place counts where its group of characters, counted from 0, does."""
    batch, count, real = places.shape[0], places.shape[1], chars.visibility.real
    seen = None if real is None else real[:, : count * rate].reshape(batch, count, rate).any(-1)
    return chars.over(count, seen)
