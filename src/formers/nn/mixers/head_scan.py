"""Selective state spaces in chunks of matrix products: every head forgets at one speed.

Dao and Gu 2024, arXiv:2405.21060, section 6. Roles: see `spec.HeadScan`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant, Counts, Steps
from formers.nn.kernels import project
from formers.nn.leaves import GatedRMSNorm, linear
from formers.nn.mixers.scan import projected_back, short_convolution
from formers.nn.program import Bare, Flow, Step
from formers.nn.recurrence import by_sequence, chunk_by_chunk, convolve, hidden_rows, slot_of
from formers.nn.steps import activate
from formers.nn.tree import has, leaf

_CHUNK = 64  # tokens that look at each other directly; what is further back they read from the state


class HeadScan(Step):
    """In, convolve, scan, gate."""

    begins = True

    def __init__(self, s: spec.HeadScan, width: int) -> None:
        super().__init__()
        self.spec, normed = s, s.norm
        value, steps = torch.empty(s.heads), Constant(1.0) if s.steps is None else Steps(*s.steps)
        self.leaves = {
            "step_bias": lambda: Bare(value.clone(), steps, keep=True),
            "decay": lambda: Bare(value.clone(), Counts(), keep=True),
            "skip": lambda: Bare(value.clone(), Constant(1.0), keep=True),
            "conv": lambda: short_convolution(s, sum(s.parts[1:4])),
            "conv_act": lambda: Activation(s.activation),
            "in": lambda: linear("linear", width, sum(s.parts), s.bias),
        }
        if normed is not None:
            self.leaves["gated_norm"] = lambda: GatedRMSNorm(
                s.inner, normed.eps, s.groups, s.norm_first, normed.wide
            )
        self.optional = frozenset({"conv_act"})

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., I]."""
        s, x = self.spec, flow.x
        hidden = hidden_rows(flow, x)
        if hidden is not None:
            x = x * hidden
        if s.scale_in != 1.0:
            x = x * s.scale_in
        made = project(leaf(node, "in"), x, None, flow.pass_.watched)
        if any(factor != 1.0 for factor in s.scales):
            pairs = zip(s.parts, s.scales, strict=True)
            made = made * torch.cat([made.new_full((width,), factor) for width, factor in pairs])
        gate, inner, step = torch.split(made, [s.inner, sum(s.parts[1:4]), s.heads], dim=-1)
        if hidden is not None and s.bias:
            inner = inner * hidden
        mixed = by_sequence(flow, partial(self._read, node, flow), inner, step, hidden)
        if has(node, "gated_norm"):
            mixed = leaf(node, "gated_norm")(mixed, gate)
        else:
            mixed = mixed * nn.functional.silu(gate)
        flow.x = mixed.to(x.dtype)

    def _read(self, node: Any, flow: Flow, x: Tensor, step: Tensor, hidden: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, I + 2 G n] and steps [b, t, H] -> [b, t, I], float32."""
        s, (count, length) = self.spec, x.shape[:2]
        slot = slot_of(flow)
        window, state = (None, None) if slot is None else (slot.window, slot.state)
        mixed, window = convolve(leaf(node, "conv"), x, s.kernel - 1, window, flow.watched)
        mixed = activate(node, "conv_act", mixed, s.activation)
        if hidden is not None:
            mixed = mixed * hidden
        u, writes, reads = torch.split(mixed.float(), list(s.parts[1:4]), dim=-1)
        step = nn.functional.softplus(step.float() + leaf(node, "step_bias").float())  # [b, t, H]
        if s.limits != (0.0, float("inf")):
            step = step.clamp(*s.limits)
        rate = -leaf(node, "decay").float().exp()  # [H]
        if state is None:
            state = u.new_zeros(count, s.groups, s.state, s.inner // s.groups)
        u = u.reshape(count, length, s.heads, s.width)
        writes, reads = (t.view(count, length, s.groups, s.state) for t in (writes, reads))
        out, state = scan_heads(u * step[..., None], step * rate, writes, reads, state)
        if slot is not None:
            slot.remember(window, state, length)
        found: Tensor = out + leaf(node, "skip").float()[:, None] * u
        return found.flatten(2)


def scan_heads(
    u: Tensor, decay: Tensor, writes: Tensor, reads: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence h = exp(decay) h + B u', y = C h of every head, chunk by chunk.

    Within a chunk a token reads those before it as in attention without a softmax.

    Args:
        u: [b, t, H, p].
        decay: logarithms, [b, t, H], none above 0.
        writes: B, [b, t, G, n]; heads that stand together share it.
        reads: C, [b, t, G, n].
        state: h before the first token, [b, G, n, H / G * p].

    Returns:
        y [b, t, H, p], and h after the last token.
    """
    return chunk_by_chunk(_scan_chunk, _CHUNK, state, u, decay, writes, reads)


def _scan_chunk(
    u: Tensor, decay: Tensor, writes: Tensor, reads: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One chunk of `scan_heads`."""
    count, length, heads, width = u.shape
    groups = writes.shape[2]
    grouped = (count, groups, heads // groups)
    # in float64: what one token forgets may be so much that little is left of the next ones in a sum
    so_far = decay.double().cumsum(1).transpose(1, 2)  # [b, H, c]
    writes, reads = writes.transpose(1, 2), reads.transpose(1, 2)  # [b, G, c, n]
    start = so_far.float().exp()  # [b, H, c]
    fades = start[..., -1].view(*grouped, 1).expand(*grouped, width).reshape(count, groups, 1, -1)
    to_end = (so_far[..., -1:] - so_far).float().exp().transpose(1, 2)[..., None]  # [b, c, H, 1]
    rest = (u * to_end).reshape(count, length, groups, -1).transpose(1, 2)  # [b, G, c, H / G * p]
    last = state * fades + writes.transpose(-1, -2) @ rest
    if length == 1:
        return (reads @ last).view(u.shape), last
    between = (so_far[..., :, None] - so_far[..., None, :]).float()
    later = torch.ones(length, length, dtype=torch.bool, device=u.device).triu(1)
    kept = between.masked_fill(later, float("-inf")).exp()  # [b, H, c, c]
    seen = (reads @ writes.transpose(-1, -2))[:, :, None]  # [b, G, 1, c, c]
    weights = (kept.view(*grouped, length, length) * seen).view(count, heads, length, length)
    near = weights @ u.transpose(1, 2)  # [b, H, c, p]
    held = (reads @ state).view(count, groups, length, heads // groups, width).transpose(2, 3)
    return (near + held.reshape(near.shape) * start[..., None]).transpose(1, 2), last


def head_scan_steps(s: spec.HeadScan, width: int) -> list[Step]:
    """Scan, project back."""
    return [HeadScan(s, width), projected_back(s, width, s.out_bias)]
