"""Few vectors that ask many: the perceiver's resampler (Alayrac et al. 2022, arXiv:2204.14198)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.connectors import Between
from formers.nn.fresh import Constant, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.program import Flow, Step
from formers.nn.tree import leaf

ASKED = "rows that show something"  # of a pass: [B, T], bool; nothing where all do


@dataclass(frozen=True)
class Perceiver:
    """How few vectors ask many.

    Attributes:
        count: how many ask.
        depth: how many layers do.
        heads: of their attention, which reads what is asked and what asks, end to end.
        norm: of what each layer reads, and of the last.
        act: of the feed-forwards, which are four times as wide.
        dropout: on the weights.
    """

    count: int
    depth: int
    heads: spec.Heads
    norm: spec.Norm
    act: str
    dropout: float = 0.0


class Gated(nn.Module):
    """Two layers beside each other, of which one weighs the other, and one behind them; no biases."""

    row_wise = True

    def __init__(self, width_in: int, inner: int, width_out: int, act: str) -> None:
        super().__init__()
        self.gate_proj = linear("linear", width_in, inner, bias=False)
        self.up_proj = linear("linear", width_in, inner, bias=False)
        self.down_proj = linear("linear", inner, width_out, bias=False)
        self.act_fn = Activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """[.., in] -> [.., out]."""
        return project(self.down_proj, self.act_fn(project(self.gate_proj, x)) * project(self.up_proj, x))


class Asking(nn.Module):
    """Attention of vectors to others and to themselves."""

    row_wise = True

    def __init__(self, s: Perceiver, width: int) -> None:
        super().__init__()
        query, shared = s.heads.query * s.heads.width, s.heads.key_value * s.heads.width
        self.heads, self.dropout = s.heads, s.dropout
        self.q_proj = linear("linear", width, query, bias=False)
        self.k_proj = linear("linear", width, shared, bias=False)
        self.v_proj = linear("linear", width, shared, bias=False)
        self.o_proj = linear("linear", query, width, bias=False)

    def forward(
        self, latents: Tensor, context: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """[B, Q, E] and [B, T, E] -> [B, Q, E]; `attention_mask` [B, 1, 1, T + Q], bool: seen."""
        both = torch.cat((context, latents), dim=1)
        made = (project(self.q_proj, latents), project(self.k_proj, both), project(self.v_proj, both))
        q, k, v = (t.view(*t.shape[:2], -1, self.heads.width).transpose(1, 2) for t in made)
        shares = self.heads.query // self.heads.key_value
        if shares > 1:
            k, v = (t.repeat_interleave(shares, dim=1) for t in (k, v))
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attention_mask, rate)
        return project(self.o_proj, mixed.transpose(1, 2).flatten(2)), None


class PerceiverLayer(nn.Module):
    """Attention and a feed-forward, norms before them."""

    row_wise = True

    def __init__(self, s: Perceiver, width: int) -> None:
        super().__init__()
        self.input_latents_norm = norm(s.norm, width)
        self.input_context_norm = norm(s.norm, width)
        self.self_attn = Asking(s, width)
        self.post_attention_layernorm = norm(s.norm, width)
        self.mlp = Gated(width, 4 * width, width, s.act)

    def forward(self, latents: Tensor, context: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, Q, E] and [B, T, E] -> [B, Q, E]; see `Asking`."""
        latents = (
            latents
            + self.self_attn(
                latents=self.input_latents_norm(latents),
                context=self.input_context_norm(context),
                attention_mask=attention_mask,
            )[0]
        )
        found: Tensor = latents + self.mlp(self.post_attention_layernorm(latents))
        return found


class Resampler(nn.Module):
    """Learned vectors that ask."""

    row_wise = True

    def __init__(self, s: Perceiver, width: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.ones(s.count, width))
        self.layers = nn.ModuleList([PerceiverLayer(s, width) for _ in range(s.depth)])
        self.norm = norm(s.norm, width)
        begins(self, latents=Constant(1.0))

    def forward(self, context: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T, E] -> [B, Q, E]; `attention_mask` [B, T], bool, what may be asked."""
        x = self.latents.expand(len(context), -1, -1)
        seen = None
        if attention_mask is not None:
            seen = F.pad(attention_mask, (0, x.shape[1]), value=True)[:, None, None]
        for one in self.layers:
            x = one(x, context, attention_mask=seen)
        found: Tensor = self.norm(x)
        return found


class Resample(Step):
    """Rows of pictures as few each: [B, T, E] -> [B, Q, E].

    The pass holds which of them show something.
    """

    home = "connect_whole"

    def __init__(self, role: str, s: Perceiver, width: int) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: Resampler(s, width)}

    def run(self, node: Any, flow: Flow) -> None:
        """As said; what shows nothing is not asked."""
        flow.x = leaf(node, self.role)(context=flow.x, attention_mask=flow.pass_.memo.get(ASKED))


class Widen(Step):
    """See `Gated`."""

    def __init__(self, role: str, sizes: tuple[int, int, int], act: str) -> None:
        super().__init__()
        self.role = role
        self.leaves = {role: lambda: Gated(*sizes, act)}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., in] -> [.., out]."""
        flow.x = leaf(node, self.role)(flow.x)


def resampled(s: Perceiver, inner: int, act: str) -> Between:
    """Layers that bring states to the text model's width, and few vectors that ask them.

    Roles: `connect`, `connect_asking`, and `connect_whole`, the node of both.

    Args:
        s: how they ask.
        inner: between those layers.
        act: there.
    """

    def steps(width_in: int, width_out: int) -> list[Step]:
        return [
            Widen("connect", (width_in, inner, width_out), act),
            Resample("connect_asking", s, width_out),
        ]

    return steps
