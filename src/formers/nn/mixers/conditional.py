"""Attention whose contents and places go through layers of their own. Roles: see `spec.Conditional`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class AttendConditional(Attend):
    """Project, attend; what is projected back follows."""

    spec: spec.Conditional

    def _make_projections(self, width: int) -> None:
        s = self.spec
        inner = s.heads.query * s.heads.width
        roles = ["q", "k", "v", "k_places", *(["waves"] if s.cross else [])]
        roles += ["q_places"] if s.first or not s.cross else []
        for role in roles:
            self.leaves[self.prefix + role] = lambda: linear(s.linear, width, inner)

    def _made(self, node: Any, role: str, x: Tensor, watched: bool) -> Tensor:
        """[.., E] -> [.., H, D]."""
        made = project(leaf(node, self.prefix + role), x, None, watched)
        return made.view(*made.shape[:-1], self.spec.heads.query, -1)

    def _beside(self, flow: Flow, name: str) -> Tensor:
        """What stands beside rows.

        Raises:
            ValueError: for a layer that is called by itself.
        """
        found: Tensor | None = flow.pass_.memo.get(name)
        if found is None:
            raise ValueError(
                "this attention reads places of queries and of a map: call the model, not a part"
            )
        return found

    def _project(self, node: Any, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """[.., E] -> [.., H, D] each."""
        x, beside, watched = flow.x, self._beside(flow, "places"), flow.watched
        q, k = (
            self._made(node, role, x, watched) + self._made(node, f"{role}_places", beside, watched)
            for role in "qk"
        )
        return q, k, self._made(node, "v", x, watched)

    def _across(self, node: Any, flow: Flow) -> Tensor:
        """Queries to the encoder's states. [.., E] -> [.., H, D]."""
        pass_, watched = flow.pass_, flow.watched
        states, places = pass_.visibility.encoder, self._beside(flow, "encoder places")
        assert states is not None
        q, k = self._made(node, "q", flow.x, watched), self._made(node, "k", states, watched)
        at = self._made(node, "k_places", places, watched)  # [B, S, H, D]
        if self.spec.first:
            q = q + self._made(node, "q_places", self._beside(flow, "places"), watched)
            k = k + at
        waves = self._made(node, "waves", self._beside(flow, "waves"), watched)
        v = self._made(node, "v", states, watched)
        q, k = torch.cat((q, waves), -1), torch.cat((k, at), -1)
        batch, length = pass_.layout.batch, pass_.layout.length
        q, k, v = (
            one.reshape(batch, count, *one.shape[-2:]).transpose(1, 2)
            for one, count in ((q, length), (k, states.shape[1]), (v, states.shape[1]))
        )
        scores = Scores(
            pass_.visibility.encoder_mask, pass_.range(0, length), pass_.range(0, k.shape[2]), scale=None
        )
        mixed = self._mix(node, flow, q, k, v, scores, "cross_attentions").transpose(1, 2)
        return mixed.reshape(*flow.x.shape[:-1], *mixed.shape[-2:])


def conditional_steps(s: spec.Conditional, width: int) -> list[Step]:
    """Attend, project back."""
    role = "cross_o" if s.cross else "o"
    return [
        AttendConditional(s, width),
        Project(role, lambda: linear(s.linear, s.heads.query * s.heads.width, width)),
    ]
