"""Attention at two resolutions. Roles: those of attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.nn import spec
from formers.nn.interface import without_own
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Step
from formers.nn.steps import Project

_SURE = 5e3  # added to the scores of pairs that are chosen whatever they hold
_UNSEEN = float("-inf")


class AttendMultiResolution(Attend):
    """What the heads read and mix, before the output projection."""

    spec: spec.MultiResolution

    def _attend(
        self, node: Any, flow: Flow, q: Tensor, k: Tensor, v: Tensor, query: Tensor, key: Tensor
    ) -> Tensor:
        without_own(flow.pass_.backend, "attention at two resolutions")
        batch, heads, length, width = q.shape
        rest = -length % self.spec.block
        real = flow.pass_.visibility.real
        real = q.new_ones(batch, length, dtype=torch.bool) if real is None else real
        real = nn.functional.pad(real, (0, rest)).repeat_interleave(heads, 0)  # [M, T], M = B * H
        dtype, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
        q, k, v = (
            nn.functional.pad(t, (0, 0, 0, rest)).flatten(0, 1).to(wide) * real[..., None] for t in (q, k, v)
        )
        mixed, weights = self._mixed(q, k, v, real, "attentions" in flow.pass_.trace)
        if weights is not None:
            whole = weights.to(dtype).view(batch, heads, *weights.shape[1:])
            flow.weights = whole[..., :length, :length]
            flow.pass_.keep("attentions", flow.weights)
        return mixed.view(batch, heads, -1, width)[:, :, :length].to(dtype)

    def _mixed(
        self, q: Tensor, k: Tensor, v: Tensor, real: Tensor, told: bool
    ) -> tuple[Tensor, Tensor | None]:
        """[M, T, D] each, zeros at padding -> what is mixed, and the weights [M, T, T] if they are `told`."""
        s, blocks = self.spec, q.shape[1] // self.spec.block
        each = torch.arange(q.shape[0], device=q.device)[:, None]
        q, k, v, seen = (t.reshape(t.shape[0], blocks, s.block, *t.shape[2:]) for t in (q, k, v, real))
        count = seen.sum(-1)  # [M, n]
        mean_q, mean_k, mean_v = (t.sum(2) / count.clamp(min=1)[..., None] for t in (q, k, v))
        scale = s.scale or q.shape[-1] ** -0.5
        coarse = mean_q @ mean_k.transpose(-1, -2) * scale  # [M, n, n]
        empty = (count[:, :, None] * count[:, None]) == 0
        pairs = self._choose(coarse.detach(), empty)  # [M, c]
        rows, columns = pairs // blocks, pairs % blocks
        fine = q[each, rows] @ k[each, columns].transpose(-1, -2) * scale  # [M, c, block, block]
        fine = fine.masked_fill(~seen[each, columns][:, :, None], _UNSEEN)
        left = coarse.masked_fill(empty, _UNSEEN).flatten(1).scatter(1, pairs, _UNSEEN).view_as(coarse)
        left = left if s.coarse else torch.full_like(left, _UNSEEN)

        at = rows[..., None].expand(-1, -1, s.block)  # [M, c, block]
        top = left.detach().amax(-1, keepdim=True).expand(q.shape[:3])
        top = top.scatter_reduce(1, at, fine.detach().amax(-1), "amax")
        top = top.masked_fill(top == _UNSEEN, 0.0)  # [M, n, block]
        fine = (fine - top.gather(1, at)[..., None]).exp()
        far = (left[:, :, None] - top[..., None]).exp()  # [M, n, block, n]
        total = (far * count[:, None, None]).sum(-1).scatter_add(1, at, fine.sum(-1))
        total = total.clamp(min=torch.finfo(total.dtype).tiny)
        wide = at[..., None].expand(*at.shape, q.shape[-1])
        mixed = (far * count[:, None, None]) @ mean_v[:, None]
        mixed = mixed.scatter_add(1, wide, fine @ v[each, columns]) / total[..., None] * seen[..., None]
        if not told:
            return mixed.flatten(1, 2), None
        weights = far.transpose(-1, -2)[..., None].expand(-1, -1, -1, -1, s.block).clone()
        weights[each, rows, columns] = fine  # [M, n, n, block, block]
        weights = weights / total[:, :, None, :, None] * seen[:, :, None, :, None] * seen[:, None, :, None]
        return mixed.flatten(1, 2), weights.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _choose(self, scores: Tensor, empty: Tensor) -> Tensor:
        """The pairs that are seen finely, of scores [M, n, n]: numbers [M, c] of row and column in one."""
        s, blocks = self.spec, scores.shape[-1]
        sure = torch.zeros(blocks, blocks, device=scores.device)
        if s.diagonal:
            reach, at = s.diagonal // 2, torch.arange(blocks, device=scores.device)
            sure += ((at[:, None] - at[None]).abs() <= reach) * _SURE
        sure[: s.first] += _SURE
        sure[:, : s.first] += _SURE
        ranked = (scores - scores.amax(-1, keepdim=True) + sure).masked_fill(empty, _UNSEEN)
        return ranked.flatten(1).topk(min(s.chosen, blocks * blocks), sorted=False).indices


def resolved_steps(s: spec.MultiResolution, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendMultiResolution(s, width), out]
