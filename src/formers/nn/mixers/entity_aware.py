"""Attention whose queries differ by what looks at what. Roles: see `spec.EntityAware`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf

_OTHERS = ("text_entity_q", "entity_text_q", "entity_entity_q")


class AttendEntityAware(Attend):
    """What the heads read and mix, before the output projection."""

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        s = self.spec
        for role in _OTHERS:
            self.leaves[role] = lambda: linear(s.linear, width, s.heads.query * s.heads.width, s.bias)

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """Attention of both streams to both: [.., H, D].

        A query is two beside each other, of which one meets the keys of the text, and the other those of the
        entities: keys have zeros in the half that is not theirs.
        """
        x, pass_ = flow.x, flow.pass_
        if pass_.geometry.second is None:
            return super()._within(node, flow)
        second, heads, whole = pass_.of_second(x), self.spec.heads, x.dim() == 3
        if whole:
            text, entities = pass_.apart(x)
        else:
            rows, back = pass_.memo.once("streams", lambda: _sorted(second))
            text, entities = (x.index_select(0, at) for at in rows)

        def made(role: str, rows: Tensor, few: bool = False) -> Tensor:
            # few rows are faster in the leaf itself
            found = project(leaf(node, role), rows, None, few or pass_.watched)
            return found.view(*found.shape[:-1], -1, heads.width)

        of_text = torch.cat((made("q", text), made(_OTHERS[0], text)), dim=-1)
        of_entities = torch.cat([made(role, entities, few=True) for role in _OTHERS[1:]], dim=-1)
        both, k = torch.cat((of_text, of_entities), dim=-3), made("k", x)
        theirs = torch.stack((~second, second), dim=-1)[:, None, :, None].to(k.dtype)  # [.., 1, 2, 1]
        keys, v = (k[..., None, :] * theirs).flatten(-2), made("v", x)  # [.., H, 2 D]
        return self._by_span(node, flow, both if whole else both.index_select(0, back), keys, v)


def _sorted(second: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Rows of either stream, and where each row stands when one stream follows the other."""
    at = (~second).nonzero().flatten(), second.nonzero().flatten()
    return at, torch.cat(at).argsort()


def aware_steps(s: spec.EntityAware, width: int) -> list[Step]:
    """Attend, project back."""
    scaled = replace(s, scale=s.heads.width**-0.5 if s.scale is None else s.scale)
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendEntityAware(scaled, width), out]
