"""Attention that compares queries with vectors of offsets too. Roles: see `spec.Offsets`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from formers.nn import spec
from formers.nn.attend import Scores, eager
from formers.nn.dropout import drop
from formers.nn.fresh import Normal
from formers.nn.interface import without_own
from formers.nn.leaves import linear, rows_of_table
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Bare, Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class AttendOffsets(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.Offsets

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        size, count = self.spec.heads.width, 2 * self.spec.reach + 1
        for role in ("offset_k", "offset_v")[: 1 + self.spec.values]:
            self.leaves[role] = lambda: Bare(torch.zeros(1, count, size), Normal(size**-0.5))

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, S]: scaled products of queries with the vectors of offsets, and what the caller adds."""
        scale = q.shape[-1] ** -0.5 if self.spec.scale is None else self.spec.scale
        table: Tensor = leaf(node, "offset_k")[0]
        near = (q * scale) @ table.t()  # [b, H, T, 2 reach + 1]
        row, seen = self._places(flow.pass_, query, key)
        found = near.gather(-1, row.expand(*near.shape[:-1], -1)).masked_fill(~seen, 0.0)
        told = self._score_bias(node, flow.pass_, query, key)
        return found if told is None else found + told

    def _places(self, pass_: Pass, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """The table's row of every pair, and whether it has one: [T, S] each."""
        reach = self.spec.reach

        def found() -> tuple[Tensor, Tensor]:
            row = key[None] - query[:, None] + reach
            return row.clamp(0, 2 * reach), (row >= 0) & (row <= 2 * reach)

        return pass_.memo.once(("offsets", reach, id(query), id(key)), found)

    def _mix(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, scores: Scores, name: str
    ) -> Tensor:
        """As usual; the weights of the keys within reach mix the vectors of their offsets likewise."""
        if not self.spec.values:
            return super()._mix(node, flow, q, k, v, scores, name)
        without_own(flow.pass_.backend, "attention with values of offsets")
        rate, held = self.spec.dropout if node.training else 0.0, []

        def dropped(weights: Tensor) -> Tensor:
            held.append(drop(weights, rate) if rate else weights)
            return held[0]

        mixed, weights = eager(q, k, v, replace(scores, drop=dropped))
        if name in flow.pass_.trace:
            flow.weights = weights
            flow.pass_.keep(name, weights)
        reach = self.spec.reach
        around = F.pad(held[0], (reach, reach))  # place i of the row then stands `reach` entries further
        columns = scores.query[:, None] - scores.key[0] + torch.arange(2 * reach + 1, device=q.device)
        near = around.gather(-1, columns.expand(*around.shape[:-1], -1))  # [b, H, T, 2 reach + 1]
        table: Tensor = leaf(node, "offset_v")[0]
        return mixed + near @ table


class AttendShared(AttendOffsets):
    """The same by a table of the stack's. See `spec.SharedOffsets`."""

    def _make_projections(self, width: int) -> None:
        Attend._make_projections(self, width)

    def _bias(self, node: Any, flow: Flow, q: Tensor, k: Tensor, query: Tensor, key: Tensor) -> Tensor | None:
        """[b, H, T, S]: scaled products of queries with the vectors of offsets, and what the caller adds."""
        q = q * (q.shape[-1] ** -0.5 if self.spec.scale is None else self.spec.scale)
        memo = flow.pass_.memo
        vectors, table = memo.get("offset vectors"), memo.get("offset table")
        if vectors is not None:
            found = torch.einsum("bhtd,tsd->bhts", q, vectors)
        else:
            reach = self.spec.reach
            at = memo.once(
                ("shared offsets", id(query), id(key)),
                lambda: (query[:, None] - key[None]).clamp(-reach, reach - 1) + reach,
            )
            near = q @ table.t()  # [b, H, T, 2 reach]
            found = near.gather(-1, at.expand(*near.shape[:-1], -1))
        told = self._score_bias(node, flow.pass_, query, key)
        return found if told is None else found + told


class OffsetTable(nn.Module):
    """The table of offsets that all layers share."""

    row_wise = True  # it is called with whole rows

    def __init__(self, s: spec.SharedOffsets) -> None:
        super().__init__()
        self.reach = s.reach
        self.pe_k = nn.Embedding(2 * s.reach, s.heads.width)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The vectors of all pairs of rows that are [B, T, E]: [T, T, D]."""
        at = torch.arange(hidden_states.shape[1], device=hidden_states.device)
        offsets = (at[:, None] - at[None]).clamp(-self.reach, self.reach - 1)
        found: Tensor = self.pe_k(offsets + self.reach)
        return found


def keep_offsets(table: OffsetTable, x: Tensor, pass_: Pass) -> None:
    """Look the table up for every layer of a pass: vectors of all pairs where somebody looks."""
    if pass_.watched:
        pass_.memo.put("offset vectors", table(x))
    else:
        pass_.memo.put("offset table", rows_of_table(table.pe_k))


def offsets_steps(s: spec.Offsets, width: int) -> list[Step]:
    """Attend, project back."""
    return [AttendOffsets(s, width), _out(s, width)]


def shared_offsets_steps(s: spec.SharedOffsets, width: int) -> list[Step]:
    """Likewise, by the stack's table."""
    return [AttendShared(s, width), _out(s, width)]


def _out(s: spec.Offsets, width: int) -> Step:
    return Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
