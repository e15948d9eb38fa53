"""Mixtures of experts: a router, and feed-forwards that read the tokens that it sends them.

Roles: see `spec.Experts`. Where a pass is recorded nothing may depend on which experts are chosen: there all
of them read all tokens, and those that were not chosen weigh nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import activation
from formers.nn.dropout import Dropout
from formers.nn.fresh import Constant, Drawn, Fill
from formers.nn.kernels import grouped
from formers.nn.leaves import WideLinear, linear
from formers.nn.mixers.feedforward import clamped, feedforward_steps, halves
from formers.nn.mixers.top_two import two_of
from formers.nn.program import Bare, Flow, Inner, Node, Step, run_inner
from formers.nn.recording import recording
from formers.nn.tree import has, leaf

Bank = dict[str, tuple[Sequence[Tensor], "Sequence[Tensor] | None"]]
_BLOCK = 1 << 18  # values that are read together: they stay in a processor's cache


class Route(Step):
    """Choose experts for every token."""

    home = "mixture"
    begins = True

    def __init__(self, s: spec.Experts, width: int) -> None:
        super().__init__()
        self.spec = s
        kind = WideLinear if s.wide else nn.Linear
        self.leaves["router"] = lambda: kind(width, s.count, bias=s.router_bias)
        if s.corrected:
            zeros = torch.zeros(s.count)
            self.leaves["router_bias"] = lambda: Bare(zeros.clone(), Constant(0.0), keep=True, trained=False)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [N, E], and the routing beside it."""
        s, x = self.spec, flow.x
        for _ in range(s.jitters if s.jitter and node.training else 0):
            x = x * torch.empty_like(x).uniform_(1.0 - s.jitter, 1.0 + s.jitter)
        rows = x.reshape(-1, x.shape[-1])
        logits = leaf(node, "router")(rows if s.capacity is None else x).view(-1, s.count)
        flow.pass_.keep("router_logits", logits)
        correction = leaf(node, "router_bias") if s.corrected else None
        if s.two is not None:
            made = two_of(s, logits, flow, node.training)
        elif s.scores == "in turn":
            made = in_turn(s, logits, node.training)
        else:
            made = choose(s, logits, correction)
        if s.capacity is not None and flow.pass_.layout.length > s.capacity:
            made = within(s.capacity, s.count, flow, *made)
        if s.dropout and not node.training:
            made = made[0] * (1 - s.dropout), made[1]
        flow.routing, flow.x = (x, *made), rows


def within(capacity: int, count: int, flow: Flow, weights: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """As `choose`; tokens that come too late for their expert choose one that does not exist, for nothing."""
    layout, real = flow.pass_.layout, flow.pass_.visibility.real
    asks = F.one_hot(chosen, count).sum(1)  # [N, experts]
    padded = asks.view(layout.batch, layout.length, count) if flow.watched else layout.unpack(asks)
    if real is not None:
        padded = padded * real[:, -layout.length :, None]
    before = padded.cumsum(1)  # [B, T, experts]
    place = (before.flatten(0, 1) if flow.watched else layout.pack(before)).gather(1, chosen)
    return weights * (place <= capacity), chosen.where(place <= capacity, count)


def choose(s: spec.Experts, logits: Tensor, correction: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weights (float32 at least) and numbers of the chosen, [N, chosen] each, from [N, experts]."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores = {"softmax": wide.softmax, "sigmoid": lambda _: wide.sigmoid()}.get(s.scores, lambda _: wide)(-1)
    merit = scores if correction is None else scores + correction
    if s.kept_groups < s.groups:
        grouped = merit.view(-1, s.groups, s.count // s.groups)  # [N, groups, members]
        best = grouped.topk(s.group_best).values.sum(-1).topk(s.kept_groups).indices  # [N, kept]
        kept = torch.zeros_like(grouped[..., 0]).scatter(-1, best, 1.0) > 0  # [N, groups]
        merit = grouped.masked_fill(~kept[..., None], float("-inf")).flatten(-2)
    chosen = merit.topk(s.chosen).indices
    weights = scores.gather(-1, chosen)
    if s.scores == "softmax of chosen":
        weights = weights.softmax(-1)
    elif s.normalised:
        weights = weights / (weights.norm(s.order, -1, keepdim=True) + 1e-20)
    return weights * s.scale, chosen


def in_turn(s: spec.Experts, logits: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """As `choose`: the best, then the best of the others, each weighed among those that are about as good.

    In training the choice is drawn by the weights, and Heun's third-order rule makes the weight's gradient
    that of the draw (Liu et al. 2023, arXiv:2304.08612).
    """
    weights, chosen, left = [], [], logits
    for turn in range(2):
        best = left.detach().max(-1, keepdim=True)
        worse = (best.values - logits.detach()) / logits.detach().abs().clamp(min=best.values)
        open_ = left.masked_fill(worse > 2 * s.tolerance, float("-inf"))
        shares, one = open_.softmax(-1), best.indices
        if training:
            one = (open_ - torch.empty_like(open_).exponential_().log()).argmax(-1, keepdim=True)
        weight = shares.gather(-1, one)
        if training:
            drawn = torch.rand_like(weight)
            drawn = drawn.uniform_() if turn else drawn  # the ecosystem draws anew: seeds mean the same there
            whole = (one == shares.argmax(-1, keepdim=True)) | (drawn > 0.75)
            weight = weight + (weight * (0.3333 + 0.6667 * whole.to(weight.dtype) - 1)).detach()
        weights.append(weight)
        chosen.append(one)
        left = left.scatter(-1, one, float("-inf"))
    return torch.cat(weights, -1), torch.cat(chosen, -1)


class Dispatch(Step):
    """Let the experts read."""

    def __init__(self, s: spec.Experts, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves["expert_dropout"] = lambda: Dropout(s.dropout)
        self.optional = frozenset() if s.dropout else frozenset({"expert_dropout"})
        self.roles_in = ("gate_up",) if s.each.fused else ("gate", "up") if s.each.gated else ("up",)
        if not s.stacked:
            self.inner["expert_"] = Inner(lambda: feedforward_steps(s.each, width), range(s.count))
            return
        inner = s.each.inner * (2 if s.each.fused else 1)
        for role, out, read in (
            *((one, inner, width) for one in self.roles_in),
            ("down", width, s.each.inner),
        ):
            shapes = {"rows": (s.count, out, read), "columns": (s.count, read, out)}
            shape = shapes.get(s.stacked, (s.count * s.each.inner, width))
            self.leaves[f"expert_{role}"] = partial(_bare, shape, Drawn())
            if s.each.bias:
                self.leaves[f"expert_{role}_bias"] = partial(_bare, (s.count, out), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] -> [N, E]."""
        assert flow.routing is not None
        _, weights, chosen = flow.routing
        compute = self._all if recording() else self._routed
        flow.x = compute(node, flow, flow.x, weights, chosen)

    def _routed(self, node: Any, flow: Flow, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Each expert reads the tokens that chose it, side by side."""
        order, token, counts = by_expert(chosen, self.spec.count)
        if not len(order):
            return torch.zeros_like(x)
        plain = not flow.watched and not torch.is_grad_enabled()
        bank = self._bank(node, flow)
        factors = None
        if self.spec.weighs == "inputs":
            factors, weights = weights.flatten()[order, None].to(x.dtype), torch.ones_like(weights)

        def given(start: int, stop: int) -> Tensor:
            part = x.index_select(0, token[start:stop])
            return part if factors is None else part * factors[start:stop]

        if bank is None:
            parts = torch.split(given(0, len(token)), counts)
            read = [run_inner(node, f"expert_{i}", part, flow) for i, part in enumerate(parts) if counts[i]]
        else:
            read, start, most = [], 0, max(1, _BLOCK // x.shape[1])
            for first, stop in _runs(counts, most):
                rows = sum(counts[first:stop])
                part = given(start, start + rows)
                read.append(self._read(part, bank, first, stop, counts[first:stop], plain))
                start += rows
        found = self._dropped(node, read[0] if len(read) == 1 else torch.cat(read))
        return summed(found, weights, order, token, plain).to(x.dtype)

    def _dropped(self, node: Any, found: Tensor) -> Tensor:
        """The shape stays."""
        if not (self.spec.dropout and node.training):
            return found
        dropped: Tensor = leaf(node, "expert_dropout")(found)
        return dropped

    def _bank(self, node: Any, flow: Flow) -> Bank | None:
        """Role -> weights [out, in] and biases of all experts; None where an expert has to be called."""
        s = self.spec
        if s.stacked:
            return {role: self._stacked(node, role) for role in (*self.roles_in, "down")}
        if flow.watched or s.each.dropout:
            return None
        owners = [leaf(node, f"expert_{i}") for i in range(s.count)]
        if any(type(owner) is not Node for owner in owners):
            return None
        found: Bank = {}
        for role in (*self.roles_in, "down"):
            leaves = [leaf(owner, role) for owner in owners]
            if any(type(one) is not nn.Linear for one in leaves):
                return None
            found[role] = (
                [one.weight for one in leaves],
                [one.bias for one in leaves] if s.each.bias else None,
            )
        return found

    def _stacked(self, node: Any, role: str) -> tuple[Sequence[Tensor], Sequence[Tensor] | None]:
        s, held = self.spec, leaf(node, f"expert_{role}")
        if s.stacked == "flat":
            held = held.view(s.count, s.each.inner, -1)
        if s.stacked == "columns" or (s.stacked == "flat" and role == "down"):
            held = held.transpose(1, 2)
        bias = leaf(node, f"expert_{role}_bias").unbind(0) if s.each.bias else None
        return held.unbind(0), bias

    def _read(self, x: Tensor, bank: Bank, first: int, stop: int, counts: list[int], plain: bool) -> Tensor:
        """Experts from `first` to before `stop` read so many rows each, [S, E] -> [S, E]."""

        def product(x: Tensor, role: str) -> Tensor:
            weights, biases = bank[role]
            return grouped(x, weights[first:stop], biases and biases[first:stop], counts, plain)

        s, act = self.spec.each, activation(self.spec.each.activation)
        made = [product(x, role) for role in self.roles_in]
        if s.gated:
            gate, up = halves(s, made[0]) if s.fused else made
            inner = act(gate) * up if s.clamp is None else clamped(gate, up, *s.clamp)
        else:
            inner = act(made[0])
        return product(inner, "down")

    def _all(self, node: Any, flow: Flow, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Every expert reads every token; its weight is zero where it was not chosen."""
        each = x.new_zeros(x.shape[0], self.spec.count + 1, dtype=weights.dtype)
        each = each.scatter(1, chosen, weights)[:, :-1]  # the last is the expert of those that have none
        bank = self._bank(node, flow) if self.spec.stacked else None
        out = torch.zeros_like(x)
        for i, weight in enumerate(each.unbind(1)):
            given = x
            if self.spec.weighs == "inputs":
                given, weight = (x * weight[:, None]).to(x.dtype), (weight != 0).to(x.dtype)
            if bank is None:
                found = run_inner(node, f"expert_{i}", given, flow)
            else:
                found = self._read(given, bank, i, i + 1, [x.shape[0]], plain=False)
            out = out + (self._dropped(node, found) * weight[:, None]).to(x.dtype)
        return out


def by_expert(chosen: Tensor, count: int) -> tuple[Tensor, Tensor, list[int]]:
    """Numbers [N, chosen] -> their places sorted by expert, the tokens of those, and every expert's count.

    What would go to an expert that does not exist is left out.
    """
    flat = chosen.flatten()
    counts: list[int] = torch.bincount(flat, minlength=count)[:count].tolist()
    order = flat.to(torch.int32).argsort()[: sum(counts)]  # [N * chosen]
    return order, order // chosen.shape[1], counts


def summed(found: Tensor, weights: Tensor, order: Tensor, token: Tensor, plain: bool) -> Tensor:
    """Every token's sum of what its experts found, [N * chosen, E] by expert, by `weights` [N, chosen]."""
    whole = len(order) == weights.numel()
    if (
        plain and whole and found.dtype in (torch.float32, torch.float64)
    ):  # several times faster than to add rows
        places, weighed = unsorted(order).view_as(weights), weights.to(found.dtype)
        return F.embedding_bag(places, found, mode="sum", per_sample_weights=weighed)
    zeros = found.new_zeros(len(weights), found.shape[1])
    return zeros.index_add(0, token, (found * weights.flatten()[order, None]).to(found.dtype))


def unsorted(order: Tensor) -> Tensor:
    """Where every place went: the permutation that undoes one."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def _bare(shape: tuple[int, ...], fresh: Fill) -> Bare:
    return Bare(torch.empty(shape), fresh)


def _runs(counts: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Runs of experts that read about `most` rows together, first and stop."""
    first = rows = 0
    for i, count in enumerate(counts):
        rows += count
        if rows >= most or (i == len(counts) - 1 and rows):
            yield first, i + 1
            first, rows = i + 1, 0


class Gather(Step):
    """What the experts found, and beside it what the shared one found."""

    home = "mixture"

    def __init__(self, s: spec.Experts, width: int) -> None:
        super().__init__()
        self.spec, shared = s, s.shared
        if shared is not None:
            self.inner["shared_"] = Inner(lambda: feedforward_steps(shared, width))
            if s.weighed:
                self.leaves["share"] = lambda: linear("linear", width, 1, bias=False)
        if s.shift:
            self.leaves["mixture_bias"] = partial(_bare, (width,), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] -> [.., E], as the mixture was given it."""
        assert flow.routing is not None
        x, found = flow.routing[0], flow.x
        flow.routing = None
        if self.spec.shared is not None:
            rows = x.reshape(found.shape)
            same = run_inner(node, "shared_", rows if self.spec.flat else x, flow).reshape(found.shape)
            if has(node, "share"):
                same = same * leaf(node, "share")(rows).sigmoid()
            found = found + same
        if self.spec.shift:
            found = found + leaf(node, "mixture_bias")
        flow.x = found.reshape(x.shape)


def experts_steps(s: spec.Experts, width: int) -> list[Step]:
    """Route, dispatch, gather.

    Raises:
        SpecError: where no expert would read a token.
    """
    if s.chosen < 1:
        raise spec.SpecError("a mixture needs to know how many experts read a token, one at least")
    return [Route(s, width), Dispatch(s, width), Gather(s, width)]
