"""Learned keys and values before those of the tokens, of all layers of a stack; see `spec.Prompts`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.masks import Full, Prompted
from formers.nn.passing import Pass
from formers.nn.program import Flow, Node, Step, alone, build, compute
from formers.nn.steps import Drop, dense
from formers.nn.tree import Block, leaf, place

ROLES = ("prompts", "cross_prompts")


class LookUp(Step):
    """Numbers of prompts to vectors."""

    def __init__(self, s: spec.Prompts, width: int) -> None:
        super().__init__()
        self.leaves = {"prompt_table": lambda: nn.Embedding(s.count, width)}

    def run(self, node: Any, flow: Flow) -> None:
        """[P] -> [P, E]."""
        flow.x = leaf(node, "prompt_table")(flow.x)


class ByHead(Step):
    """What is made for all layers, taken apart."""

    def __init__(self, heads: spec.Heads, layers: int) -> None:
        super().__init__()
        self.shape = (layers * 2, heads.key_value, heads.width)

    def run(self, node: Any, flow: Flow) -> None:
        """[P, layers * 2 * G * D] -> [P, layers * 2, G, D]."""
        flow.x = flow.x.view(-1, *self.shape)


class PromptNode(Node):
    """Makes the keys and values of every layer."""

    def forward(self, hidden_states: Tensor, *args: Any, flow: Flow | None = None, **context: Any) -> Any:
        """Numbers of prompts, [P] -> for every layer [2, G, P, D], keys and values."""
        flow = alone(hidden_states[None]) if flow is None else flow
        flow.x = hidden_states
        compute(self, flow)
        count, both, *rest = flow.x.shape
        return flow.x.view(count, both // 2, 2, *rest).permute(1, 2, 3, 0, 4).unbind(0)


def place_prompts(block: Block, s: spec.Stack) -> None:
    """Register what makes the prompts that a stack's layers see, where they see any.

    Raises:
        SpecError: when names and parts do not fit.
    """
    attention = s.attention
    if attention is None or (made := attention.prompts) is None:
        return
    heads, layers = attention.heads, len(s.layers)
    for role in ROLES[: 1 + s.crosses]:
        node = PromptNode()
        steps = [
            LookUp(made, s.width),
            dense("prompt_up", s.width, made.inner, act=made.activation, act_role="prompt_act"),
            dense("prompt_down", made.inner, 2 * layers * heads.key_value * heads.width),
            ByHead(heads, layers),
            Drop("prompt_dropout", made.dropout),
        ]
        build(node, steps, s.names.stack, role)
        place(block, role, str(s.names.stack[role]), node)


def make_prompts(block: Block, s: spec.Stack, pass_: Pass) -> None:
    """Make the prompts of this pass, for every layer."""
    if s.attention is None or s.attention.prompts is None:
        return
    ids = pass_.range(0, s.attention.prompts.count)
    for role in ROLES[: 1 + s.crosses]:
        node = leaf(block, role)
        pass_.memo.put(role, node(ids, flow=Flow(ids, pass_)) if isinstance(node, Node) else node(ids))


def with_prompts(
    prompts: Tensor, k: Tensor, v: Tensor, scores: Scores, pass_: Pass
) -> tuple[Tensor, Tensor, Scores]:
    """Keys, values [B, G, S, D] and scores with prompts, [2, G, P, D], before them."""
    rows, count = k.shape[0], prompts.shape[2]
    k, v = (
        torch.cat((own.to(t.dtype).expand(rows, -1, -1, -1), t), 2)
        for own, t in ((prompts[0], k), (prompts[1], v))
    )
    key = scores.key
    before = pass_.memo.once(
        ("prompted", id(key)), lambda: torch.cat((torch.arange(-count, 0, device=key.device), key))
    )
    mask = scores.mask if isinstance(scores.mask, Full) else Prompted(scores.mask)
    bias = None if scores.bias is None else F.pad(scores.bias, (count, 0))
    return k, v, replace(scores, mask=mask, key=before, bias=bias)
