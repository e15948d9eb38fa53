"""Selective state spaces: a short convolution, then a recurrence whose step the token itself chooses.

Gu and Dao 2023, arXiv:2312.00752, algorithm 2. Roles: see `spec.Scan`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.cache import Recurrent
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Constant, Project
from formers.nn.tree import has, leaf

_CHUNK = 64  # tokens whose decays are held at once: memory grows by it, not by the length


class Decay:
    """First logarithms of the decays: log(1..n) for every feature."""

    def fill_(self, tensor: Tensor) -> None:
        """[I, n]."""
        counts = torch.arange(1, tensor.shape[1] + 1, dtype=torch.float32, device=tensor.device)
        tensor.copy_(counts.log().expand_as(tensor))


class StepSize(nn.Linear):
    """The projection that chooses step sizes; its bias begins where softplus gives steps within bounds."""

    def __init__(self, s: spec.Scan) -> None:
        self.steps = s.steps
        super().__init__(s.rank, s.inner)

    def reset_parameters(self) -> None:
        """Uniform weights, and steps drawn evenly in their logarithms."""
        bound = self.in_features**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        least, most, floor = self.steps
        drawn = torch.rand_like(self.bias) * (math.log(most) - math.log(least)) + math.log(least)
        step = drawn.exp().clamp(min=floor)
        with torch.no_grad():
            self.bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


class SelectiveScan(Step):
    """In, convolve, scan, gate."""

    begins = True

    def __init__(self, s: spec.Scan, width: int) -> None:
        super().__init__()
        self.spec = s
        decay = torch.empty(s.inner, s.state)
        self.leaves = {
            "decay": lambda: Bare(torch.empty_like(decay), Decay(), keep=True),
            "skip": lambda: Bare(torch.empty(s.inner), Constant(1.0), keep=True),
            "conv": lambda: nn.Conv1d(
                s.inner, s.inner, s.kernel, groups=s.inner, bias=s.conv_bias, padding=s.kernel - 1
            ),
            "act": lambda: Activation(s.activation),
            "in": lambda: linear("linear", width, 2 * s.inner, s.bias),
            "select": lambda: linear("linear", s.inner, s.rank + 2 * s.state, bias=False),
            "step": lambda: StepSize(s),
        }
        self.optional = frozenset({"act"})
        self.plain = Activation(s.activation)

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., I]."""
        pass_, x = flow.pass_, flow.x
        layout, real = pass_.layout, pass_.visibility.real
        act = leaf(node, "act") if has(node, "act") else self.plain
        inner, gate = project(leaf(node, "in"), x, None, pass_.watched).chunk(2, dim=-1)  # [.., I] each
        hidden: Tensor | None = None
        if real is not None:  # padding that is computed enters nothing
            past = pass_.geometry.past
            hidden = real[:, past : past + layout.length].reshape(*inner.shape[:-1], 1)
            inner = inner * hidden
        slot = None if pass_.cache is None else pass_.cache.slot(flow.index)
        assert slot is None or isinstance(slot, Recurrent)
        if inner.dim() == 3:
            mixed = self._read(node, act, inner, slot, hidden)
        else:
            rows = (None,) * len(layout.spans) if hidden is None else layout.by_span(hidden)
            parts = zip(layout.by_span(inner), rows, strict=True)
            mixed = torch.cat([self._read(node, act, part, slot, row).flatten(0, 1) for part, row in parts])
        flow.x = (mixed * act(gate)).to(x.dtype)

    def _read(self, node: Any, act: Any, x: Tensor, slot: Recurrent | None, real: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, I] -> [b, t, I]."""
        s, (count, length) = self.spec, x.shape[:2]
        window = None if slot is None else slot.window
        if window is None:
            window = x.new_zeros(count, s.kernel - 1, s.inner)
        whole = torch.cat((window.to(x.dtype), x), dim=1)  # [b, k - 1 + t, I]
        conv = leaf(node, "conv")
        mixed = nn.functional.conv1d(whole.transpose(1, 2), conv.weight, conv.bias, groups=s.inner)
        u = act(mixed.transpose(1, 2))  # [b, t, I]
        if real is not None:
            u = u * real
        chosen = project(leaf(node, "select"), u)
        rank, writes, reads = torch.split(chosen, [s.rank, s.state, s.state], dim=-1)
        step = nn.functional.softplus(leaf(node, "step")(rank).float())  # [b, t, I]
        state = None if slot is None else slot.state
        if state is None:
            state = step.new_zeros(count, s.inner, s.state)
        out, state = _scan(step, u.float(), writes.float(), reads.float(), leaf(node, "decay"), state)
        if slot is not None:
            slot.remember(whole[:, length:].clone(), state, length)
        skip: Tensor = leaf(node, "skip")
        return (out + skip.float() * u).to(x.dtype)


def _scan(
    step: Tensor, u: Tensor, writes: Tensor, reads: Tensor, decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence: h = exp(step * A) h + step * B u, y = C h.

    Args:
        step: [b, t, I].
        u: [b, t, I].
        writes: B, [b, t, n].
        reads: C, [b, t, n].
        decay: logarithm of -A, [I, n].
        state: h before the first token, [b, I, n].

    Returns:
        y [b, t, I], and h after the last token.
    """
    rate = -decay.float().exp()  # [I, n]
    out: list[Tensor] = []
    for at in range(0, step.shape[1], _CHUNK):
        part = slice(at, at + _CHUNK)
        kept = torch.exp(step[:, part, :, None] * rate)  # [b, c, I, n]
        added = (step[:, part] * u[:, part])[..., None] * writes[:, part, None]  # [b, c, I, n]
        states = []
        for keep, add in zip(kept.unbind(1), added.unbind(1), strict=True):
            state = keep * state + add  # [b, I, n]
            states.append(state)
        held = torch.stack(states, dim=1)  # [b, c, I, n]
        out.append((held @ reads[:, part, :, None]).squeeze(-1))  # [b, c, I]
    return torch.cat(out, dim=1), state


def scan_steps(s: spec.Scan, width: int) -> list[Step]:
    """Scan, project back."""
    return [SelectiveScan(s, width), Project("out", lambda: linear("linear", s.inner, width, s.bias))]
