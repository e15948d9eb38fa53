"""Mixing along time and along channels: values weighed by keys and age, and a feed-forward behind a gate.

Peng et al. 2023, arXiv:2305.13048, section 3. Roles: see `spec.TimeMixing` and `spec.ChannelMixing`. A slot
holds the rows that both read last, channels first, and of every feature the sum of weighed values, that of
weights, and the logarithm by which both are scaled.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.fresh import Powers, Zigzag
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Step
from formers.nn.recurrence import (
    before_each,
    by_sequence,
    hidden_rows,
    in_chunks,
    recur_in_chunks,
    scanned,
    slot_of,
)
from formers.nn.steps import Project
from formers.nn.tree import leaf

_NEVER = -1e38  # scale of sums to which nothing was added yet
_LEAST, _BLOCK = 16, 1 << 16  # tokens, and numbers of a kind, that are weighed at once
_MANY = 9  # tokens that are weighed one after the other, unless there are so many
_ALONE = 60.0  # logarithm of a weight beside which float32 loses all others


class _Mixing(Step):
    """What is read is mixed, feature by feature, with what stood before it."""

    begins = True
    shift, place = "time_shift", 1  # the leaf, and the place of the last row in a slot's window

    def __init__(self, width: int, mixes: dict[str, Powers]) -> None:
        super().__init__()
        self.leaves = {self.shift: lambda: nn.ZeroPad2d((0, 0, 1, -1))}
        for role, fresh in mixes.items():
            self.leaves[role] = partial(_fresh, (1, 1, width), fresh)

    def _before(self, node: Any, flow: Flow) -> Tensor:
        """What stands before every row: [.., E]."""
        return by_sequence(flow, partial(self._shifted, node, flow), flow.x, hidden_rows(flow, flow.x))

    def _shifted(self, node: Any, flow: Flow, x: Tensor, hidden: Tensor | None) -> Tensor:
        slot = slot_of(flow)
        held = None if slot is None else slot.window
        first = None if held is None else held[:, self.place]
        before, last = before_each(leaf(node, self.shift), x, first, hidden, flow.watched)
        if slot is not None:
            other = torch.zeros_like(last) if held is None else held[:, 1 - self.place].to(last.dtype)
            slot.window = torch.stack((other, last) if self.place else (last, other), dim=1)
        return before


def _fresh(shape: tuple[int, ...], fresh: Any, keep: bool = False) -> Bare:
    return Bare(torch.empty(shape), fresh, keep)


def _mixed(node: Any, role: str, x: Tensor, before: Tensor) -> Tensor:
    """[.., E]: `x` and what stood before it, by the learned shares of that role."""
    return torch.lerp(before, x, leaf(node, role).view(-1).to(x.dtype))


class MixTime(_Mixing):
    """Weigh values, gate."""

    def __init__(self, s: spec.TimeMixing, width: int) -> None:
        (layer, count), inner = s.depth, s.width
        rest, share = 1.0 - layer / count, layer / max(count - 1, 1)
        mixes = {
            "key": Powers(rest),
            "value": Powers(rest, shift=0.3 * share),
            "receptance": Powers(rest / 2),
        }
        super().__init__(width, {f"{role}_mix": fresh for role, fresh in mixes.items()})
        self.eased = s.eased
        speeds, bonus = Powers(0.7 + 1.3 * share, 8.0, -5.0, closed=True), Zigzag(math.log(0.3))
        own = {"decay": partial(_fresh, (inner,), speeds, keep=True)}
        own["bonus"] = partial(_fresh, (inner,), bonus, keep=True)
        self.leaves = {**own, **self.leaves}  # as the ecosystem counts parameters
        for role in ("k", "v", "receptance"):
            self.leaves[role] = lambda: linear("linear", width, inner, bias=False)

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., A]."""
        x, before = flow.x, self._before(node, flow)
        k, v, gate = (
            project(leaf(node, role), _mixed(node, f"{name}_mix", x, before), None, flow.watched)
            for role, name in (("k", "key"), ("v", "value"), ("receptance", "receptance"))
        )
        found = by_sequence(flow, partial(self._read, node, flow), k, v, hidden_rows(flow, x))
        flow.x = torch.sigmoid(gate) * found

    def _read(self, node: Any, flow: Flow, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, A] each -> [b, t, A]."""
        slot = slot_of(flow)
        state = None if slot is None else slot.state
        out, state = weighed(k, v, leaf(node, "decay"), leaf(node, "bonus"), state, hidden)
        if slot is not None:
            assert slot.window is not None  # what stood before was asked for first
            slot.remember(slot.window, state, k.shape[1])
        return out.to(k.dtype)


def weighed(
    k: Tensor, v: Tensor, decay: Tensor, bonus: Tensor, state: Tensor | None, hidden: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Means of values, by the exponentials of their keys and of their age; float32.

    Args:
        k: [b, t, A].
        v: [b, t, A].
        decay: logarithm of how much a weight's logarithm falls with every token, [A].
        bonus: what the newest key has more, [A].
        state: [b, 3, A], of earlier tokens; None for none.
        hidden: which rows hold tokens, [b, t, 1]; None where all do. The others leave all as it is.

    Returns:
        [b, t, A], and the state after the last token.
    """
    k, v, rate = k.float(), v.float(), decay.float().exp()
    if state is None:
        state = k.new_zeros(k.shape[0], 3, k.shape[2])
        state[:, 2] = _NEVER
    if torch.compiler.is_exporting():
        return scanned(
            partial(_one, rate, bonus.float()), state, k, v, *(() if hidden is None else (hidden,))
        )
    size, found = max(_LEAST, 4 ** int(math.log(max(_BLOCK // state[:, 0].numel(), 1), 4))), []
    for at in range(0, k.shape[1], size):
        part = slice(at, at + size)
        real = None if hidden is None else hidden[:, part]
        how = _weighed if min(size, k.shape[1] - at) >= _MANY else _one_by_one
        out, state = how(k[:, part], v[:, part], rate, bonus.float(), state, real)
        found.append(out)
    return found[0] if len(found) == 1 else torch.cat(found, dim=1), state


def _one_by_one(
    k: Tensor, v: Tensor, rate: Tensor, bonus: Tensor, state: Tensor, hidden: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`weighed` of few tokens."""
    found = []
    for at, (key, value) in enumerate(zip(k.unbind(1), v.unbind(1), strict=True)):
        state, out = _one(rate, bonus, state, key, value, None if hidden is None else hidden[:, at])
        found.append(out)
    return torch.stack(found, dim=1), state


def _one(
    rate: Tensor, bonus: Tensor, state: Tensor, key: Tensor, value: Tensor, real: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`weighed` of one token, [b, A]: the state after it, and its mean."""
    values, weights, high = state.unbind(1)
    newest = torch.exp((key + bonus - high).clamp(max=_ALONE))
    out = torch.addcmul(values, newest, value) / (weights + newest)
    fallen = high - rate
    scale = torch.maximum(fallen, key)
    kept, weight = torch.exp(fallen - scale), torch.exp(key - scale)
    sums = torch.addcmul(weight * value, kept, values), torch.addcmul(weight, kept, weights)
    new = torch.stack((*sums, scale), dim=1)
    return new if real is None else torch.where(real[:, None], new, state), out


def _weighed(
    k: Tensor, v: Tensor, rate: Tensor, bonus: Tensor, state: Tensor, hidden: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`weighed` of some tokens, whose numbers lie in the processor's cache, all at once."""
    added, high, falls = k, state[:, 2], rate.expand(1, k.shape[1], -1)
    if hidden is not None:
        added, falls = k.masked_fill(~hidden, float("-inf")), falls * hidden
    with torch.no_grad():  # by what sums are scaled changes no mean
        scale = _highest(added, falls, high)
        before = torch.cat((high[:, None], scale[:, :-1]), dim=1)
    weight = torch.exp(added - scale)
    sums = torch.stack((weight * v, weight), dim=2)  # [b, t, 2, A]
    held = recur_in_chunks((before - scale - falls)[:, :, None], sums, state[:, :2])
    values, weights = torch.cat((state[:, None, :2], held[:, :-1]), dim=1).unbind(2)  # before each token
    newest = torch.exp((k + bonus - before).clamp_(max=_ALONE))
    out = torch.addcmul(values, newest, v) / (weights + newest)
    return out, torch.cat((held[:, -1], scale[:, -1:]), dim=1)


def _highest(k: Tensor, falls: Tensor, high: Tensor) -> Tensor:
    """The highest of all keys so far, each less what it fell since: [b, t, A].

    All chunks side by side, then what each hands to the next, as `recur_in_chunks` has it.
    """
    length, size = k.shape[1], math.isqrt(k.shape[1])
    chunks = -(-length // size)
    k, falls = in_chunks(k, chunks, size, float("-inf")), in_chunks(falls, chunks, size)
    falls = falls.view(-1, chunks, *falls.shape[1:])
    k = k.view(-1, chunks, *k.shape[1:])
    near = [k[:, :, 0]]
    for i in range(1, size):
        near.append(torch.maximum(near[-1] - falls[:, :, i], k[:, :, i]))
    fallen, ends, befores = falls.cumsum(2), near[-1], []
    for chunk in range(chunks):
        befores.append(high)
        high = torch.maximum(high - fallen[:, chunk, -1], ends[:, chunk])
    far = torch.stack(befores, dim=1)[:, :, None] - fallen
    return torch.maximum(torch.stack(near, dim=2), far).flatten(1, 2)[:, :length]


class Back(Project):
    """The projection that ends the mixing of time, whose result callers may ask for."""

    def __init__(self, s: spec.TimeMixing, width: int) -> None:
        super().__init__("o", lambda: linear("linear", s.width, width, bias=False))
        self.eased = s.eased

    def run(self, node: Any, flow: Flow) -> None:
        """[.., A] -> [.., E]."""
        super().run(node, flow)
        if not node.training:
            flow.x = flow.x * self.eased if self.eased != 1.0 else flow.x
        if "attentions" in flow.pass_.trace:  # apart from the sum, which is written over what is added
            shown = flow.x if flow.watched else flow.pass_.layout.unpack(flow.x.clone())
            flow.pass_.keep("attentions", shown)


class MixChannels(_Mixing):
    """Up, squared, down, gated."""

    shift, place = "channel_shift", 0

    def __init__(self, s: spec.ChannelMixing, width: int) -> None:
        fresh = Powers(1.0 - s.depth[0] / s.depth[1])
        super().__init__(width, dict.fromkeys(("channel_key_mix", "channel_receptance_mix"), fresh))
        self.eased = s.eased
        self.leaves["up"] = lambda: linear("linear", width, s.inner, bias=False)
        self.leaves["channel_receptance"] = lambda: linear("linear", width, width, bias=False)
        self.leaves["down"] = lambda: linear("linear", s.inner, width, bias=False)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        x, before, watched = flow.x, self._before(node, flow), flow.watched
        up = project(leaf(node, "up"), _mixed(node, "channel_key_mix", x, before), "relu", watched)
        squared = up.square_() if flow.unseen else up.square()
        found = project(leaf(node, "down"), squared, None, watched)
        mixed = _mixed(node, "channel_receptance_mix", x, before)
        gate = torch.sigmoid(project(leaf(node, "channel_receptance"), mixed, None, watched))
        eased = self.eased if not node.training else 1.0
        flow.x = gate * found if eased == 1.0 else gate * found * eased


def time_mixing_steps(s: spec.TimeMixing, width: int) -> list[Step]:
    """Weigh, project back."""
    return [MixTime(s, width), Back(s, width)]


def channel_mixing_steps(s: spec.ChannelMixing, width: int) -> list[Step]:
    """One step: its gate falls on what the last leaf makes."""
    return [MixChannels(s, width)]
