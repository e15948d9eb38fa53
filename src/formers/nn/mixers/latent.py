"""Attention whose keys and values are read from one latent vector a token. Roles: see `spec.Latent`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear, norm
from formers.nn.mixers.attention import Attend
from formers.nn.positions import rotate
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


class AttendLatent(Attend):
    """What the heads read out of the latents and mix, before the output projection."""

    spec: spec.Latent

    def _make_projections(self, width: int) -> None:
        s = self.spec
        assert s.rotary is not None
        self.turned, self.plain = s.rotary.width, s.heads.width - s.rotary.width
        queries, rank = s.heads.query * s.heads.width, s.query_rank
        if rank is None:
            self.leaves["q"] = lambda: linear("linear", width, queries, bias=False)
        else:
            self.leaves["q_down"] = lambda: linear("linear", width, rank, s.bias)
            self.leaves["q_norm"] = lambda: norm(s.norm, rank)
            self.leaves["q_up"] = lambda: linear("linear", rank, queries, bias=False)
        both = s.heads.query * (self.plain + s.value)
        self.leaves["kv_down"] = lambda: linear("linear", width, s.rank + self.turned, s.bias)
        self.leaves["kv_norm"] = lambda: norm(s.norm, s.rank)
        self.leaves["kv_up"] = lambda: linear("linear", s.rank, both, bias=False)

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """Attention of a sequence to itself: [.., H, value]."""
        s, watched, x = self.spec, flow.watched, flow.x
        assert s.rotary is not None
        cos, sin = flow.pass_.rotary(s.rotary, x.dtype)
        q = self._queries(node, x, watched)
        plain, turned = torch.split(q, [self.plain, self.turned], dim=-1)
        q = torch.cat((plain, rotate(turned, cos, sin, s.rotary.adjacent)), dim=-1)  # [.., H, D]
        both = project(leaf(node, "kv_down"), x, None, watched)
        latent, key = torch.split(both, [s.rank, self.turned], dim=-1)
        latent = leaf(node, "kv_norm")(latent)[..., None, :]  # [.., 1, rank]
        key = rotate(key[..., None, :], cos, sin, s.rotary.adjacent)  # [.., 1, turned]
        if flow.pass_.cache is not None:
            return self._cached(node, flow, q, latent, key)
        if not watched:
            return self._by_span(node, flow, q, *self._expand(node, flow, latent[:, 0], key[:, 0]))
        k, v = self._read(node, flow, latent.transpose(1, 2), key.transpose(1, 2))
        return self._by_span(node, flow, q, k.transpose(1, 2), v.transpose(1, 2))

    def _queries(self, node: Any, x: Tensor, watched: bool) -> Tensor:
        """[.., E] -> [.., H, D]."""
        last = "q"
        if self.spec.query_rank is not None:
            x, last = leaf(node, "q_norm")(project(leaf(node, "q_down"), x, None, watched)), "q_up"
        q = project(leaf(node, last), x, None, watched)
        return q.view(*q.shape[:-1], self.spec.heads.query, -1)

    def _read(self, node: Any, flow: Flow, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [B, 1, S, rank] and turned keys [B, 1, S, turned] to [B, H, S, D] and [B, H, S, value]."""
        k, v = self._expand(node, flow, keys, values)
        return k[:, 0].transpose(1, 2), v[:, 0].transpose(1, 2)

    def _expand(self, node: Any, flow: Flow, latent: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """[.., rank] and [.., turned] to [.., H, D] and [.., H, value]."""
        heads = self.spec.heads.query
        rows = latent if flow.watched else latent.reshape(-1, self.spec.rank)
        both = project(leaf(node, "kv_up"), rows, None, flow.watched)
        k, v = torch.split(both.view(*latent.shape[:-1], heads, -1), [self.plain, self.spec.value], dim=-1)
        return torch.cat((k, key[..., None, :].expand(*k.shape[:-1], self.turned)), dim=-1), v


def latent_steps(s: spec.Latent, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear("linear", s.heads.query * s.value, width, s.out_bias))
    return [AttendLatent(s, width), out]
