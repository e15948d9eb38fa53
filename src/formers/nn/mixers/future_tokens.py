"""Attention of tokens, and of streams that look ahead to them. Roles: see `spec.FutureTokens`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.dropout import drop
from formers.nn.interface import without_own
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.tree import leaf


class AttendAhead(Attend):
    """Project, attend in every stream, project back."""

    spec: spec.FutureTokens

    def _make_projections(self, width: int) -> None:
        super()._make_projections(width)
        inner, told = self.spec.heads.query, self.spec.buckets.count
        self.leaves["o"] = lambda: linear("linear", inner * self.spec.heads.width, width)
        self.leaves["relative"] = lambda: linear("linear", width, told * inner)

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E], of the tokens and of n streams behind them."""
        s, pass_ = self.spec, flow.pass_
        batch, parts = pass_.layout.batch, 1 + s.streams
        length = pass_.layout.length // parts
        shape = (batch, parts, length, s.heads.query, -1)
        q, k, v = (t.reshape(shape).transpose(2, 3) for t in self._project(node, flow))  # [B, 1 + n, H, T, D]
        far = self._apart(node, "relative", flow.x.view(batch, parts, length, -1), flow.watched)
        told = (s.buckets.count, s.heads.query)
        far = far.view(*far.shape[:-1], *told).permute(0, 1, 4, 2, 3)  # [B, 1 + n, H, T, buckets]
        keys, values = k[:, 0], v[:, 0]
        if pass_.cache is not None:
            keys, values, _ = pass_.cache.slot(flow.index).update(keys, values)
        past, count = pass_.geometry.past, keys.shape[2]
        at = pass_.range(past, past + length), pass_.range(0, count)
        near, next_ = pass_.memo.once(("buckets", *at), lambda: self._buckets(*at))  # [T, S]
        bias = far[:, 0].gather(-1, near.expand(batch, s.heads.query, -1, -1))
        scores = Scores(pass_.visibility.mask(s.mask), *at, bias=bias, scale=s.scale)
        without_own(pass_.backend, "attention of streams that look ahead")
        own = self._mix(node, flow, q[:, 0], keys, values, scores, "attentions")
        bias = far[:, 1:].gather(-1, next_.expand(batch, s.streams, s.heads.query, -1, -1))
        seen = pass_.memo.once(("ahead", *at), lambda: self._seen(pass_, *at))
        logits = (q[:, 1:] @ keys[:, None].transpose(-1, -2) * self._scale + bias).masked_fill(
            ~seen, float("-inf")
        )
        itself = (q[:, 1:] * k[:, 1:]).sum(-1) * self._scale + far[:, 1:, ..., 0]  # [B, n, H, T]
        logits = torch.cat((logits, itself[..., None]), dim=-1)
        weights = logits.softmax(-1, torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
        if "ngram_attentions" in pass_.trace:
            others = torch.diag_embed(weights[..., -1])
            pass_.keep("ngram_attentions", torch.cat((weights[..., :-1], others), dim=-1))
        weights = drop(weights, s.dropout) if node.training and s.dropout else weights
        ahead = weights[..., :-1] @ values[:, None] + weights[..., -1:] * v[:, 1:]
        mixed = torch.cat((own[:, None], ahead), dim=1).transpose(2, 3).flatten(-2)  # [B, 1 + n, T, H * D]
        flow.x = self._apart(node, "o", mixed, flow.watched).reshape(flow.x.shape)

    @property
    def _scale(self) -> float:
        return self.spec.heads.width**-0.5 if self.spec.scale is None else self.spec.scale

    def _apart(self, node: Any, role: str, x: Tensor, watched: bool) -> Tensor:
        """[B, 1 + n, T, ..] through a leaf; who looks sees that of the tokens apart from the streams."""
        found = leaf(node, role)
        if not watched:
            return project(found, x.reshape(-1, x.shape[-1]), None, False).view(*x.shape[:-1], -1)
        first = found(x[:, 0] if role == "relative" else x[:, :1])
        return torch.cat((first.view(x.shape[0], 1, x.shape[2], -1), found(x[:, 1:])), dim=1)

    def _buckets(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Buckets of the tokens' distances, and of those from one place farther: [T, S] each, int64."""
        return self.spec.buckets.index(query, key), self.spec.buckets.index(query + 1, key)

    def _seen(self, pass_: Pass, query: Tensor, key: Tensor) -> Tensor:
        """Which tokens the streams see: [1 or B, n, 1, T, S], bool."""
        back = torch.arange(self.spec.streams, device=key.device)[:, None, None]
        seen = ((key <= query[:, None] - back) | (key == 0))[None, :, None]
        real = pass_.visibility.real
        return seen if real is None else seen & real[:, None, None, None, : len(key)]


def foresight_steps(s: spec.FutureTokens, width: int) -> list[Step]:
    """One step: tokens and streams are projected apart."""
    return [AttendAhead(s, width)]
