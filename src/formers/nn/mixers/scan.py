"""Selective state spaces: a short convolution, then a recurrence whose step the token itself chooses.

Gu and Dao 2023, arXiv:2312.00752, algorithm 2. Roles: see `spec.Scan`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.cache import Recurrent
from formers.nn.fresh import Constant, Counts, Steps, Uniform, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import has, leaf

_CHUNK = 64  # tokens whose decays are held at once: memory grows by it, not by the length


class SelectiveScan(Step):
    """In, convolve, scan, gate."""

    begins = True

    def __init__(self, s: spec.Scan, width: int) -> None:
        super().__init__()
        self.spec = s
        decay, skip, bound = torch.empty(s.inner, s.state), torch.empty(s.inner), s.step_scale * s.rank**-0.5
        self.leaves = {
            "decay": lambda: Bare(decay.clone(), Counts(), keep=True),
            "skip": lambda: Bare(skip.clone(), Constant(1.0), keep=True),
            "conv": lambda: begins(
                nn.Conv1d(s.inner, s.inner, s.kernel, groups=s.inner, bias=s.conv_bias, padding=s.kernel - 1),
                weight=Uniform(s.kernel**-0.5),
            ),
            "act": lambda: Activation(s.activation),
            "in": lambda: linear("linear", width, 2 * s.inner, s.bias),
            "select": lambda: linear("linear", s.inner, s.rank + 2 * s.state, bias=False),
            "step": lambda: begins(
                linear("linear", s.rank, s.inner),
                weight=Constant(bound) if s.step_constant else Uniform(bound),
                bias=Steps(*s.steps),
            ),
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
        flow.x = (mixed * nn.functional.silu(gate)).to(x.dtype)

    def _read(self, node: Any, act: Any, x: Tensor, slot: Recurrent | None, real: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, I] -> [b, t, I]."""
        s, (count, length) = self.spec, x.shape[:2]
        window = None if slot is None else slot.window
        if window is None:
            window = x.new_zeros(count, s.kernel - 1, s.inner)
        whole = torch.cat((window.to(x.dtype), x), dim=1)  # [b, k - 1 + t, I]
        # the leaf pads on both sides, so that its first columns lack what `whole` begins with
        mixed = leaf(node, "conv")(whole.transpose(1, 2))[..., s.kernel - 1 : s.kernel - 1 + length]
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
        found: Tensor = (out + leaf(node, "skip").float() * u).to(x.dtype)
        return found


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
    fresh = Uniform((s.inner * s.depth) ** -0.5)
    return [
        SelectiveScan(s, width),
        Project("out", lambda: begins(linear("linear", s.inner, width, s.bias), weight=fresh)),
    ]
