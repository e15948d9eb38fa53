"""Mixtures of experts: a router, and feed-forwards that read the tokens that it sends them.

Roles: see `spec.Experts`. Where a pass is recorded nothing may depend on which experts are chosen: there all
of them read all tokens, and those that were not chosen weigh nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.fresh import Constant
from formers.nn.leaves import WideLinear, linear
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.program import Bare, Flow, Inner, Step, run_inner
from formers.nn.recording import recording
from formers.nn.tree import has, leaf


class Route(Step):
    """Choose experts for every token."""

    home = "mixture"
    begins = True

    def __init__(self, s: spec.Experts, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves["router"] = lambda: (WideLinear if s.wide else nn.Linear)(width, s.count, bias=False)
        if s.corrected:
            zeros = torch.zeros(s.count)
            self.leaves["router_bias"] = lambda: Bare(zeros.clone(), Constant(0.0), keep=True, trained=False)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [N, E], and the routing beside it."""
        s, x = self.spec, flow.x
        if s.jitter and node.training:
            x = x * torch.empty_like(x).uniform_(1.0 - s.jitter, 1.0 + s.jitter)
        rows = x.reshape(-1, x.shape[-1])
        logits = leaf(node, "router")(rows)
        flow.pass_.keep("router_logits", logits)
        correction = leaf(node, "router_bias") if s.corrected else None
        flow.routing, flow.x = (x, *choose(s, logits, correction)), rows


def choose(s: spec.Experts, logits: Tensor, correction: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weights (float32 at least) and numbers of the chosen, [N, chosen] each, from [N, experts]."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores = wide.softmax(-1) if s.scores == "softmax" else wide.sigmoid()
    merit = scores if correction is None else scores + correction
    if s.kept_groups < s.groups:
        grouped = merit.view(-1, s.groups, s.count // s.groups)  # [N, groups, members]
        best = grouped.topk(s.group_best).values.sum(-1).topk(s.kept_groups).indices  # [N, kept]
        kept = torch.zeros_like(grouped[..., 0]).scatter(-1, best, 1.0) > 0  # [N, groups]
        merit = grouped.masked_fill(~kept[..., None], float("-inf")).flatten(-2)
    chosen = merit.topk(s.chosen).indices
    weights = scores.gather(-1, chosen)
    if s.normalised:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return weights * s.scale, chosen


class Dispatch(Step):
    """Let the experts read."""

    def __init__(self, s: spec.Experts, width: int) -> None:
        super().__init__()
        self.spec = s
        self.inner["expert_"] = Inner(lambda: feedforward_steps(s.each, width), s.count)

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] -> [N, E]."""
        assert flow.routing is not None
        _, weights, chosen = flow.routing
        compute = self._all if recording() else self._routed
        flow.x = compute(node, flow, flow.x, weights, chosen)

    def _routed(self, node: Any, flow: Flow, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Each expert reads the tokens that chose it, side by side."""
        order = chosen.flatten().argsort(stable=True)  # [N * chosen]: by expert, then by token
        counts = torch.bincount(chosen.flatten(), minlength=self.spec.count).tolist()
        token = order // chosen.shape[1]
        parts = torch.split(x.index_select(0, token), counts)
        read = [run_inner(node, f"expert_{i}", part, flow) for i, part in enumerate(parts) if counts[i]]
        if not read:
            return torch.zeros_like(x)
        found = torch.cat(read) * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add(0, token, found.to(x.dtype))

    def _all(self, node: Any, flow: Flow, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Every expert reads every token; its weight is zero where it was not chosen."""
        each = x.new_zeros(x.shape[0], self.spec.count, dtype=weights.dtype).scatter(1, chosen, weights)
        out = torch.zeros_like(x)
        for i, weight in enumerate(each.unbind(1)):
            out = out + (run_inner(node, f"expert_{i}", x, flow) * weight[:, None]).to(x.dtype)
        return out


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
        flow.x = found.reshape(x.shape)


def experts_steps(s: spec.Experts, width: int) -> list[Step]:
    """Route, dispatch, gather.

    Raises:
        SpecError: where no expert would read a token.
    """
    if s.chosen < 1:
        raise spec.SpecError("a mixture needs to know how many experts read a token, one at least")
    return [Route(s, width), Dispatch(s, width), Gather(s, width)]
