"""Attention that asks for distances, and a gated convolution along time. Roles: see `spec.conformer`."""

from __future__ import annotations

from functools import partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.activations import Activation
from formers.nn.attend import Scores
from formers.nn.dropout import Dropout, drop
from formers.nn.fresh import Constant, Normal, Uniform, alternating, begins
from formers.nn.kernels import hooked, project
from formers.nn.leaves import linear, norm
from formers.nn.mixers.attention import Attend
from formers.nn.program import Bare, Flow, Step
from formers.nn.recording import by_sizes
from formers.nn.recurrence import by_sequence, hidden_rows
from formers.nn.steps import Project
from formers.nn.tree import has, leaf


class AttendDistant(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.Distant

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        s, heads = self.spec, self.spec.heads
        if s.reach is not None:
            self.leaves["distances"] = lambda: nn.Embedding(sum(s.reach or ()) + 1, heads.width)
            return
        bound = sqrt(6 / (heads.query + heads.width))
        self.leaves["r"] = lambda: linear("linear", width, heads.query * heads.width, False)
        for role in ("content_bias", "distance_bias"):
            self.leaves[role] = lambda: Bare(torch.zeros(heads.query, heads.width), Uniform(bound))

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, T]: what queries find in distances, scaled, and what the caller adds."""
        s, told = self.spec, flow.pass_.visibility.bias
        asked = self._by_reach if s.reach is not None else self._by_waves
        found = asked(node, flow, q) * (q.shape[-1] ** -0.5 if s.scale is None else s.scale)
        return found if told is None else found + told

    def _by_reach(self, node: Any, flow: Flow, q: Tensor) -> Tensor:
        """By a vector for each distance within reach, that of the last for all beyond."""
        before, behind = self.spec.reach or (0, 0)
        length, table = q.shape[2], leaf(node, "distances")

        def index() -> Tensor:
            at = torch.arange(length, device=q.device)
            return (at[None] - at[:, None]).clamp(-before, behind) + before  # [T, T]

        places = flow.pass_.memo.once(by_sizes("reach", before, behind, length), index)
        if flow.watched or hooked(table):
            return torch.einsum("bhtd,tsd->bhts", q, table(places).to(q.dtype))
        asked: Tensor = q @ table.weight.to(q.dtype).t()  # [b, H, T, distances]
        return asked.gather(-1, places.expand(*q.shape[:2], -1, -1))

    def _by_waves(self, node: Any, flow: Flow, q: Tensor) -> Tensor:
        """By sinusoids of all distances, the farthest key before the query first."""
        length, s, heads = q.shape[2], self.spec, self.spec.heads

        def waves() -> Tensor:
            places = torch.arange(length - 1, -length, -1, device=q.device)
            made = alternating(places, flow.x.shape[-1]).to(q.dtype)[None]  # [1, 2 T - 1, E]
            return drop(made, s.waves_dropout) if s.waves_dropout and node.training else made

        table = flow.pass_.memo.once(by_sizes("waves", length), waves)
        table = table.expand(q.shape[0], -1, -1) if s.waves_each and flow.watched else table
        r = project(leaf(node, "r"), table if flow.watched else table[0], None, flow.watched)
        r = r.view(-1, 2 * length - 1, heads.query, heads.width).permute(
            0, 2, 3, 1
        )  # [1 or b, H, D, 2 T - 1]
        asked: Tensor = (q + leaf(node, "distance_bias")[:, None]) @ r  # [b, H, T, 2 T - 1]
        if length == 1:
            return asked
        # place i reads entry T - 1 - i + j for key j, which lies one entry further to the left in every row
        rows = asked.flatten(2)[..., length - 1 :][..., : length * (2 * length - 2)]
        return rows.view(*asked.shape[:3], -1)[..., :length]

    def _mix(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, scores: Scores, name: str
    ) -> Tensor:
        q = q if self.spec.reach is not None else q + leaf(node, "content_bias")[:, None]
        return super()._mix(node, flow, q, k, v, scores, name)


class AttendFavouring(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.Favouring

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, T]: what distances and callers add, and what is added for real keys."""
        found, real = super()._bias(node, flow, q, k, query, key), flow.pass_.memo.get(spec.REAL_ROWS)
        if real is None:
            return found
        favour: Tensor = real.to(q.dtype)[:, None, None] * self.spec.favour
        return favour.expand(-1, -1, q.shape[2], -1) if found is None else found + favour


class GatedPointwise(nn.Module):
    """A layer over single places whose halves weigh each other, each with a bias of its own.

    Args:
        width: of what is read and made.
        gate: activation of the second half.
    """

    row_wise = True

    def __init__(self, width: int, gate: str) -> None:
        super().__init__()
        self.ext_pw_conv_1d = nn.Conv1d(width, 2 * width, 1)
        self.glu_act = Activation(gate)
        self.b1, self.b2 = (nn.Parameter(torch.zeros(1, width, 1)) for _ in range(2))
        begins(self, b1=Constant(0.0), b2=Constant(0.0))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, T, E] -> [B, T, E]."""
        value, gate = self.ext_pw_conv_1d(hidden_states.transpose(1, 2)).chunk(2, dim=1)
        found: Tensor = (value + self.b1) * self.glu_act(gate + self.b2)
        return found.transpose(1, 2)


class ApartConvolution(nn.Module):
    """A convolution by feature, which reads zeros on both sides, and one over single places.

    Args:
        width: of what is read and made.
        kernel, wider: see `spec.SeparableConvolution`.
    """

    row_wise = True

    def __init__(self, width: int, kernel: int, wider: int) -> None:
        super().__init__()
        self.dw_conv = nn.Conv1d(width, width * wider, kernel, padding=kernel - 1, groups=width)
        self.pw_conv = nn.Conv1d(width * wider, width, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, E, T] -> [B, E, T + kernel - 1]."""
        found: Tensor = self.pw_conv(self.dw_conv(hidden_states))
        return found


class GlideApart(Step):
    """All of a separable convolution. [.., E] -> [.., E]."""

    begins = True

    def __init__(self, s: spec.SeparableConvolution, width: int) -> None:
        super().__init__()
        self.leaves = {
            "conv_gated": partial(GatedPointwise, width, s.gate),
            "conv_apart": partial(ApartConvolution, width, s.kernel, s.wider),
            "conv_act": lambda: Activation(s.act),
            "conv_out": lambda: nn.Conv1d(width, width, 1),
            "conv_dropout": lambda: Dropout(s.dropout),
        }

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence by itself."""

        def read(x: Tensor) -> Tensor:
            made = leaf(node, "conv_apart")(leaf(node, "conv_gated")(x).transpose(1, 2))
            found: Tensor = leaf(node, "conv_out")(leaf(node, "conv_act")(made[..., : x.shape[1]]))
            return found.transpose(1, 2)

        flow.x = leaf(node, "conv_dropout")(by_sequence(flow, read, flow.x))


class Glide(Step):
    """All of a gated convolution. [.., E] -> [.., E]."""

    begins = True

    def __init__(self, s: spec.GatedConvolution, width: int) -> None:
        super().__init__()
        self.spec = s
        self.leaves = {
            "conv_in": partial(_pointwise, width, 2 * width, s.bias),
            "conv_gate": lambda: nn.GLU(dim=1),
            "conv_along": partial(_along, s, width),
            "conv_along_norm": lambda: nn.BatchNorm1d(width) if s.norm is None else norm(s.norm, width),
            "conv_act": lambda: Activation(s.act),
            "conv_out": partial(_pointwise, width, width, s.bias),
            "conv_dropout": lambda: Dropout(s.dropout),
        }
        self.optional = frozenset({"conv_gate", "conv_dropout"})

    def run(self, node: Any, flow: Flow) -> None:
        """Read every sequence by itself."""
        s, x = self.spec, flow.x
        real = hidden_rows(flow, x) if s.hides or s.hides_gated else None
        if real is not None and s.hides:
            x = x.masked_fill(~real, 0.0)
        flow.x = by_sequence(
            flow, partial(self._read, node, flow.watched), x, real if s.hides_gated else None
        )

    def _read(self, node: Any, watched: bool, x: Tensor, real: Tensor | None) -> Tensor:
        """Sequences of one length, [b, t, E] -> [b, t, E]; the leaves read [b, E, t]. `real` [b, t, 1]."""
        s = self.spec
        x = _applied(leaf(node, "conv_in"), x, watched).transpose(1, 2)
        x = leaf(node, "conv_gate")(x) if has(node, "conv_gate") else F.glu(x, dim=1)
        x = x if real is None else x.masked_fill(~real.transpose(1, 2), 0.0)
        along = leaf(node, "conv_along")
        x = along(F.pad(x, (s.kernel - 1, 0)) if s.looks_back else x)
        if s.norm is None:
            x = leaf(node, "conv_along_norm")(x)
        else:
            x = leaf(node, "conv_along_norm")(x.transpose(1, 2)).transpose(1, 2)
        x = _applied(leaf(node, "conv_out"), leaf(node, "conv_act")(x).transpose(1, 2), watched)
        if not has(node, "conv_dropout"):
            return drop(x, s.dropout) if s.dropout and node.training else x
        found: Tensor = leaf(node, "conv_dropout")(x.transpose(1, 2)).transpose(1, 2)
        return found


def _applied(conv: Any, x: Tensor, watched: bool) -> Tensor:
    """A convolution over one place, [b, t, in] -> [b, t, out]."""
    if watched or type(conv) is not nn.Conv1d:
        found: Tensor = conv(x.transpose(1, 2)).transpose(1, 2)
        return found
    return F.linear(x, conv.weight[..., 0], conv.bias)


def fresh_convolution(conv: nn.Conv1d, fan: int) -> nn.Conv1d:
    """A convolution along time whose first values go by how many numbers each of its results reads."""
    begins(conv, weight=Normal(sqrt(2 / fan)))
    return conv if conv.bias is None else begins(conv, bias=Uniform(sqrt(1 / fan)))


def _pointwise(read: int, made: int, bias: bool) -> nn.Conv1d:
    return fresh_convolution(nn.Conv1d(read, made, 1, bias=bias), read)


def _along(s: spec.GatedConvolution, width: int) -> nn.Conv1d:
    around = 0 if s.looks_back else (s.kernel - 1) // 2
    conv = nn.Conv1d(width, width, s.kernel, padding=around, groups=width, bias=s.bias)
    return fresh_convolution(conv, s.kernel)


def _back(s: spec.Attention, width: int) -> Project:
    return Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))


def distant_steps(s: spec.Distant, width: int) -> list[Step]:
    """Attend, project back."""
    return [AttendDistant(s, width), _back(s, width)]


def gated_convolution_steps(s: spec.GatedConvolution, width: int) -> list[Step]:
    """One step: its leaves read time last."""
    return [Glide(s, width)]


def favouring_steps(s: spec.Favouring, width: int) -> list[Step]:
    """Attend, project back."""
    return [AttendFavouring(s, width), _back(s, width)]


def separable_convolution_steps(s: spec.SeparableConvolution, width: int) -> list[Step]:
    """One step: what it holds reads time last."""
    return [GlideApart(s, width)]
