"""What stands for a row: one of its states, or what a learned query finds in all of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.fresh import Constant, Uniform, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.feedforward import feedforward_steps
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Add, Begin, Column, End, First, Normalise, Rest, dense
from formers.nn.tree import leaf


class Asking(nn.Module):
    """Attention of queries to states, whose weights lie as `torch.nn.MultiheadAttention` has them."""

    row_wise = True

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = linear("linear", width, width)
        begins(self, in_proj_weight=Uniform(math.sqrt(1.5 / width)), in_proj_bias=Constant(0.0))

    def forward(self, query: Tensor, states: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[B, Q, E] and [B, T, E] -> [B, Q, E], and the mean of the heads' weights, [B, Q, T].

        `real` [B, T], bool, says which states are there.
        """
        width = query.shape[-1]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        asked = F.linear(query, weight[:width], bias[:width])
        found = F.linear(states, weight[width:], bias[width:]).chunk(2, dim=-1)
        q, k, v = (t.view(*t.shape[:2], self.num_heads, -1).transpose(1, 2) for t in (asked, *found))
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)  # [B, H, Q, T]
        if real is not None:
            scores = scores.masked_fill(~real[:, None, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        out = project(self.out_proj, (weights @ v).transpose(1, 2).flatten(2))
        return out, weights.mean(1)


class Ask(Step):
    """A learned query attends to all states of a row."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        first = Uniform(math.sqrt(3 / width))
        self.leaves = {
            "query": lambda: Bare(torch.zeros(1, 1, width), first),
            "asked": lambda: Asking(width, heads),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """[N, E] or [B, T, E] -> [B, 1, E]."""
        whole = flow.pass_.layout.unpack(flow.x) if flow.x.dim() == 2 else flow.x
        real = flow.pass_.present(flow.x)
        given = (whole,) if real is None else (whole, real)
        flow.x = leaf(node, "asked")(leaf(node, "query").expand(whole.shape[0], -1, -1), *given)[0]


class Again(Step):
    """The norm that closes the stack, once more."""

    def run(self, node: Any, flow: Flow) -> None:
        """[B, E] stays."""
        flow.x = leaf(node, "final_norm")(flow.x)


class Join(Step):
    """Rows that stand together, as one: [N, E] -> [N / count, count * E].

    `{role}_node` says which node does it.
    """

    def __init__(self, count: int, role: str) -> None:
        super().__init__()
        self.count, self.home = count, f"{role}_node"

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        flow.x = flow.x.reshape(-1, self.count * flow.x.shape[-1])


class Restore(Step):
    """Merged rows in the order in which the patches came, where the pass has another."""

    def run(self, node: Any, flow: Flow) -> None:
        """[n, E] -> [n, E]."""
        order = flow.pass_.memo.get("merged order")
        flow.x = flow.x if order is None else flow.x[order]


class Average(Step):
    """The mean of rows that stand together: [N, E] or [B, T, E] -> [B, T // count, E]."""

    def __init__(self, count: int, role: str) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: nn.AvgPool1d(count, count)}

    def run(self, node: Any, flow: Flow) -> None:
        """As said."""
        whole = flow.pass_.layout.unpack(flow.x) if flow.x.dim() == 2 else flow.x
        flow.x = leaf(node, self.role)(whole.transpose(1, 2)).transpose(1, 2)


def merged_steps(s: spec.Merged, width: int, role: str = "merge") -> list[Step]:
    """A norm, the rows as one, two layers."""
    whole = s.count * width
    norm = Normalise(f"{role}_norm", s.norm, whole if s.behind else width)
    join = Join(s.count, role)
    first: list[Step] = [join, norm] if s.behind else [norm, join]
    read = dense(f"{role}_in", whole, s.inner or whole, act=s.act, act_role=f"{role}_act")
    return [*first, read, dense(f"{role}_out", s.inner or whole, s.width)]


def summary_steps(s: spec.Summary | spec.Asked | spec.Merged | spec.Averaged, width: int) -> list[Step]:
    """The token, its norm and its projection; or the query's answer."""
    if isinstance(s, spec.Averaged):
        return [Average(s.count, "averaged"), Normalise("averaged_norm", s.norm, width)]
    if isinstance(s, spec.Merged):
        return [*merged_steps(s, width), Restore()]
    if isinstance(s, spec.Asked):
        read = [Begin("asked"), Normalise("asked_norm", s.norm, width)]
        inside = [*feedforward_steps(s.feedforward, width), Add("asked"), Column("left")]
        return [Ask(s.heads, width), *read, *inside]
    if s.token == "end":
        found: Step = End(s.ends)
    elif s.token == "last":
        found = Column("right")
    elif s.token == "pair":
        found = Rest(0, 2)
    else:
        found = {"first": First, "rest": Rest}[s.token]()
    steps = [found] if s.norm is None else [found, Normalise("pooler", s.norm, width)]
    steps += [Again()] if s.again else []
    return steps if s.projected is None else [*steps, dense("pooler_dense", width, s.projected)]
