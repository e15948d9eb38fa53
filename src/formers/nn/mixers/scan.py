"""Selective state spaces: a short convolution, then a recurrence whose step the token itself chooses.

Gu and Dao 2023, arXiv:2312.00752, algorithm 2. Roles: see `spec.Scan`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.fresh import Constant, Counts, Steps, Uniform, begins
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.program import Bare, Flow, Step
from formers.nn.recurrence import by_sequence, convolve, depthwise, hidden_rows, recur, slot_of
from formers.nn.steps import Project, activate
from formers.nn.tree import has, leaf

_CHUNK = 32  # tokens whose decays are held at once: memory grows by it, not by the length


class SelectiveScan(Step):
    """In, convolve, scan, gate."""

    begins = True

    def __init__(self, s: spec.Scan, width: int) -> None:
        super().__init__()
        self.spec = s
        decay, skip = torch.empty(s.inner, s.state), torch.empty(s.inner)
        self.leaves = {
            "decay": lambda: Bare(decay.clone(), Counts(), keep=True),
            "skip": lambda: Bare(skip.clone(), Constant(1.0), keep=True),
            "conv": lambda: short_convolution(s, s.inner),
            "conv_act": lambda: Activation(s.activation),
            "in": lambda: linear("linear", width, 2 * s.inner, s.bias),
            "select": lambda: linear("linear", s.inner, s.rank + 2 * s.state, bias=False),
            "step": self._step,
        }
        if s.norm is not None:
            for role, features in (("step", s.rank), ("writes", s.state), ("reads", s.state)):
                self.leaves[f"{role}_norm"] = partial(norm, s.norm, features)
        self.optional = frozenset({"conv_act"})

    def _step(self) -> nn.Module:
        """What makes steps of `rank` features."""
        s, made = self.spec, linear("linear", self.spec.rank, self.spec.inner)
        if s.steps is None:
            return made
        bound = s.step_scale * s.rank**-0.5
        weight = Constant(bound) if s.step_constant else Uniform(bound)
        return begins(made, weight=weight, bias=Steps(*s.steps))

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence from its beginning, or from where the cache stands. [.., E] -> [.., I]."""
        x = flow.x
        inner, gate = project(leaf(node, "in"), x, None, flow.pass_.watched).chunk(2, dim=-1)  # [.., I] each
        hidden = hidden_rows(flow, x)
        if hidden is not None:
            inner = inner * hidden
        mixed = by_sequence(flow, partial(self._read, node, flow), inner, hidden)
        flow.x = (mixed * nn.functional.silu(gate)).to(x.dtype)

    def _read(self, node: Any, flow: Flow, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, I] -> [b, t, I]."""
        s, (count, length) = self.spec, x.shape[:2]
        slot = slot_of(flow)
        window, state = (None, None) if slot is None else (slot.window, slot.state)
        mixed, window = convolve(leaf(node, "conv"), x, s.kernel - 1, window, flow.watched)
        u = activate(node, "conv_act", mixed, s.activation)  # [b, t, I]
        if hidden is not None:
            u = u * hidden
        chosen = project(leaf(node, "select"), u)
        rank, writes, reads = torch.split(chosen, [s.rank, s.state, s.state], dim=-1)
        if has(node, "step_norm"):
            rank, writes = leaf(node, "step_norm")(rank), leaf(node, "writes_norm")(writes)
            reads = leaf(node, "reads_norm")(reads)
        step = nn.functional.softplus(leaf(node, "step")(rank).float())  # [b, t, I]
        if state is None:
            state = step.new_zeros(count, s.state, s.inner)
        out, state = _scan(step, u.float(), writes.float(), reads.float(), leaf(node, "decay"), state)
        if slot is not None:
            slot.remember(window, state, length)
        found: Tensor = (out + leaf(node, "skip").float() * u).to(x.dtype)
        return found


def short_convolution(s: spec.Scan | spec.HeadScan, width: int) -> nn.Module:
    """The convolution before a scan."""
    made = depthwise(width, s.kernel, s.conv_bias)
    return made if s.steps is None else begins(made, weight=Uniform(s.kernel**-0.5))


def projected_back(s: spec.Scan | spec.HeadScan, width: int, bias: bool) -> Project:
    """The projection that ends a scan."""
    fresh = {} if s.steps is None else {"weight": Uniform((s.inner * s.depth) ** -0.5)}
    return Project("out", lambda: begins(linear("linear", s.inner, width, bias), **fresh))


def _scan(
    step: Tensor, u: Tensor, writes: Tensor, reads: Tensor, decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """The recurrence: h = exp(step * A) h + step * B u, y = C h.

    Features stand last, where their many numbers lie side by side.

    Args:
        step: [b, t, I].
        u: [b, t, I].
        writes: B, [b, t, n].
        reads: C, [b, t, n].
        decay: logarithm of -A, [I, n].
        state: h before the first token, [b, n, I].

    Returns:
        y [b, t, I], and h after the last token.
    """
    rate = -decay.float().exp().t().contiguous()  # [n, I]
    scaled, out = step * u, []
    parts = [slice(None)]  # where a graph serves all lengths, it cannot be cut at places
    if not torch.compiler.is_exporting():
        parts = [slice(at, at + _CHUNK) for at in range(0, step.shape[1], _CHUNK)]
    for part in parts:
        kept = (step[:, part, None] * rate).exp()  # [b, c, n, I]
        held = recur(kept, scaled[:, part, None] * writes[:, part, :, None], state)  # [b, c, n, I]
        out.append((reads[:, part, None] @ held).squeeze(-2))  # [b, c, I]
        state = held[:, -1]
    return torch.cat(out, dim=1), state.clone()


def scan_steps(s: spec.Scan, width: int) -> list[Step]:
    """Scan, project back."""
    return [SelectiveScan(s, width), projected_back(s, width, s.bias)]
