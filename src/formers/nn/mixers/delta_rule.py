"""The gated delta rule in chunks of matrix products: a token replaces what its key recalls.

Yang et al. 2024, arXiv:2412.06464, section 3.3. Roles: see `spec.DeltaRule`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant, Rates
from formers.nn.kernels import project
from formers.nn.leaves import GatedRMSNorm, linear
from formers.nn.program import Bare, Flow, Step
from formers.nn.recurrence import by_sequence, chunk_by_chunk, convolve, depthwise, hidden_rows, slot_of
from formers.nn.steps import activate, dense
from formers.nn.tree import leaf

_CHUNK = 64  # tokens that look at each other directly; what is further back they read from the state
_LEAST = 1e-6  # under the root of a key's length


class DeltaRule(Step):
    """In, convolve, replace and recall, gate."""

    begins = True

    def __init__(self, s: spec.DeltaRule, width: int) -> None:
        super().__init__()
        self.spec, value, eps = s, torch.empty(s.heads), s.norm.eps
        self.leaves = {
            "step_bias": lambda: Bare(value.clone(), Constant(1.0)),
            "decay": lambda: Bare(value.clone(), Rates(0.01, 16.0)),
            "conv": lambda: depthwise(2 * s.keys + s.values, s.kernel, bias=False),
            "conv_act": lambda: Activation(s.activation),
            "in": lambda: linear("linear", width, 2 * (s.keys + s.values), bias=False),
            "step": lambda: linear("linear", width, 2 * s.heads, bias=False),
            "gated_norm": lambda: GatedRMSNorm(s.width, eps, first=True),
        }
        self.optional = frozenset({"conv_act"})

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., H * p]."""
        s, x = self.spec, flow.x
        hidden = hidden_rows(flow, x)
        if hidden is not None:
            x = x * hidden
        shared, rows = s.heads // s.groups, x.shape[:-1]
        made = project(leaf(node, "in"), x, None, flow.watched).view(*rows, s.groups, -1)
        steps = project(leaf(node, "step"), x, None, flow.watched).view(*rows, s.groups, -1)
        q, k, v, gate = torch.split(made, [s.state, s.state, shared * s.width, shared * s.width], dim=-1)
        write, step = (t.reshape(*rows, s.heads) for t in torch.split(steps, shared, dim=-1))
        joined = torch.cat([t.flatten(-2) for t in (q, k, v)], dim=-1)
        mixed = by_sequence(flow, partial(self._read, node, flow), joined, write, step).to(x.dtype)
        gate = gate.reshape(-1, s.width)
        flow.x = leaf(node, "gated_norm")(mixed.reshape(-1, s.width), gate).view(*rows, -1)

    def _read(self, node: Any, flow: Flow, x: Tensor, write: Tensor, step: Tensor) -> Tensor:
        """Sequences of one length, [b, t, 2 G n + H p] and [b, t, H] twice -> [b, t, H * p], float32."""
        s, (count, length) = self.spec, x.shape[:2]
        slot = slot_of(flow)
        window, state = (None, None) if slot is None else (slot.window, slot.state)
        mixed, window = convolve(leaf(node, "conv"), x, s.kernel - 1, window, flow.watched)
        mixed = activate(node, "conv_act", mixed, s.activation).float()
        q, k, v = torch.split(mixed, [s.keys, s.keys, s.values], dim=-1)
        q, k = (_unit(t.view(count, length, s.groups, s.state)) for t in (q, k))
        rate = -leaf(node, "decay").float().exp()  # [H]
        decay = rate * nn.functional.softplus(step.float() + leaf(node, "step_bias").float())
        if state is None:
            state = mixed.new_zeros(count, s.heads, s.state, s.width)
        v = v.reshape(count, length, s.heads, s.width)
        out, state = replace_by_key(q * s.state**-0.5, k, v, decay, write.sigmoid().float(), state)
        if slot is not None:
            slot.remember(window, state, length)
        return out.flatten(2)


def _unit(x: Tensor) -> Tensor:
    """Vectors of length one."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + _LEAST)


def replace_by_key(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, write: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence S = exp(decay) S, S = S + k write (v - S' k)', y = S' q of every head, chunk by chunk.

    Args:
        q: [b, t, G, n]; heads that stand together share it.
        k: [b, t, G, n].
        v: [b, t, H, p].
        decay: logarithms, [b, t, H], none above 0.
        write: [b, t, H], from 0 to 1.
        state: S before the first token, [b, H, n, p].

    Returns:
        y [b, t, H, p], and S after the last token.
    """
    return chunk_by_chunk(_chunk, _CHUNK, state, q, k, v, decay, write)


def _chunk(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, write: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One chunk of `replace_by_key`."""
    count, length, groups, _ = k.shape
    heads = (count, groups, v.shape[2] // groups)
    # in float64: what one token forgets may be so much that little is left of the next ones in a sum
    so_far = decay.double().cumsum(1).transpose(1, 2)  # [b, H, c]
    start = so_far.float().exp().view(*heads, length, 1)
    to_end = (so_far[..., -1:] - so_far).float().exp().view(*heads, length, 1)
    q, k = (t.transpose(1, 2)[:, :, None] for t in (q, k))  # [b, G, 1, c, n]
    state = state.view(*heads, *state.shape[2:])
    v = v.transpose(1, 2).reshape(*heads, length, -1)
    write = write.transpose(1, 2).reshape(*heads, length, 1)
    fresh = (v - start * (k @ state)) * write  # [b, G, H / G, c, p]
    recalled = start * (q @ state)
    if length > 1:
        between = (so_far[..., :, None] - so_far[..., None, :]).float()
        later = torch.ones(length, length, dtype=torch.bool, device=k.device).triu(1)
        kept = between.masked_fill(later, float("-inf")).exp().view(*heads, length, length)
        # what a token writes depends on what those before it in the chunk have written
        undone = kept * (k @ k.mT) * write
        fresh = torch.linalg.solve_triangular(undone, fresh, upper=False, unitriangular=True)
        near = kept * (q @ k.mT)
    else:
        near = q @ k.mT
    out = (recalled + near @ fresh).flatten(1, 2).transpose(1, 2)  # [b, c, H, p]
    last = state * start[..., -1:, :] + (k * to_end).mT @ fresh
    return out, last.flatten(1, 2)


def delta_rule_steps(s: spec.DeltaRule, width: int) -> list[Step]:
    """Replace and recall, project back."""
    return [DeltaRule(s, width), dense("out", s.values, width, bias=False)]
