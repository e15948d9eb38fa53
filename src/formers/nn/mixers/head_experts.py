"""Attention whose heads are experts. Roles: see `spec.HeadExperts`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.nn import spec
from formers.nn.fresh import Constant, Drawn
from formers.nn.kernels import grouped, project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.mixers.experts import by_expert, choose, summed, unsorted
from formers.nn.positions import rotate
from formers.nn.program import Bare, Flow, Step
from formers.nn.recording import recording
from formers.nn.tree import leaf


class AttendHeadExperts(Attend):
    """Choose experts, let them ask, attend, let them answer."""

    spec: spec.HeadExperts

    def _make_projections(self, width: int) -> None:
        s = self.spec
        inner = s.heads.key_value * s.heads.width
        self.leaves["chooser"] = lambda: linear("linear", width, s.count, bias=False)
        self.leaves["kv"] = lambda: linear("linear", width, 2 * inner, bias=False)
        for role, shape in (("q", (s.count, inner, width)), ("o", (s.count, width, inner))):
            self.leaves[f"chosen_{role}"] = partial(_drawn, shape)
        self.leaves["o_bias"] = lambda: Bare(torch.zeros(width), Constant(0.0))

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., E]."""
        s, x = self.spec, flow.x
        rows = x.reshape(-1, x.shape[-1])
        logits = leaf(node, "chooser")(rows)
        flow.pass_.keep("router_logits", logits)
        weights, chosen = choose(s.experts, logits)
        if recording():
            queries = self._asked_by_all(node, rows, chosen)
        else:
            queries, sorting = self._asked(node, flow, rows, chosen)
        q = queries.view(*x.shape[:-1], s.heads.query, s.heads.width)
        mixed = self._attended(node, flow, q).reshape(rows.shape[0], s.chosen, -1)  # [N, chosen, G * D]
        if recording():
            found = self._answered_by_all(node, mixed, weights, chosen)
        else:
            found = self._answered(node, flow, mixed, weights, sorting)
        flow.x = (found.to(x.dtype) + leaf(node, "o_bias")).view_as(x)

    def _asked(
        self, node: Any, flow: Flow, rows: Tensor, chosen: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, list[int]]]:
        """[N, E] -> [N * chosen, G * D], and how the places are sorted by expert."""
        order, token, counts = sorting = by_expert(chosen, self.spec.count)
        made = self._product(node, flow, "chosen_q", rows.index_select(0, token), counts)
        return made.index_select(0, unsorted(order)), sorting

    def _answered(
        self, node: Any, flow: Flow, mixed: Tensor, weights: Tensor, sorting: tuple[Tensor, Tensor, list[int]]
    ) -> Tensor:
        """[N, chosen, G * D] -> [N, E]."""
        order, token, counts = sorting
        found = self._product(node, flow, "chosen_o", mixed.flatten(0, 1).index_select(0, order), counts)
        return summed(found, weights, order, token, _plain(flow))

    def _product(self, node: Any, flow: Flow, role: str, rows: Tensor, counts: list[int]) -> Tensor:
        return grouped(rows, leaf(node, role).unbind(0), None, counts, _plain(flow))

    def _asked_by_all(self, node: Any, rows: Tensor, chosen: Tensor) -> Tensor:
        """As `_asked`, where nothing may depend on who is chosen."""
        made = torch.einsum("ne,xoe->nxo", rows, leaf(node, "chosen_q"))
        return made.gather(1, chosen[..., None].expand(-1, -1, made.shape[-1]))

    def _answered_by_all(self, node: Any, mixed: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """As `_answered`, likewise: an expert that was not chosen reads zeros."""
        read = mixed.new_zeros(len(mixed), self.spec.count, mixed.shape[-1])
        read = read.scatter(1, chosen[..., None].expand_as(mixed), mixed * weights[..., None].to(mixed.dtype))
        return torch.einsum("nxo,xeo->ne", read, leaf(node, "chosen_o"))

    def _attended(self, node: Any, flow: Flow, q: Tensor) -> Tensor:
        """[.., H, D] -> [.., H, D]."""
        s, x = self.spec, flow.x
        kv = project(leaf(node, "kv"), x, None, flow.watched)
        k, v = kv.view(*x.shape[:-1], 2 * s.heads.key_value, s.heads.width).chunk(2, -2)
        if s.rotary is not None:
            cos, sin = flow.pass_.rotary(s.rotary, x.dtype)
            q, k = (rotate(t, cos, sin, s.rotary.adjacent) for t in (q, k))
        if flow.pass_.cache is not None:
            return self._cached(node, flow, q, k, v)
        return self._by_span(node, flow, q, self._for_each(k, -2), self._for_each(v, -2))

    def _read(self, node: Any, flow: Flow, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, G, S, D] -> [B, H, S, D]."""
        return self._for_each(keys, 1), self._for_each(values, 1)

    def _for_each(self, x: Tensor, axis: int) -> Tensor:
        """The same heads for every expert of a token."""
        return torch.cat((x,) * self.spec.chosen, axis)


def _plain(flow: Flow) -> bool:
    return not flow.watched and not torch.is_grad_enabled()


def _drawn(shape: tuple[int, ...]) -> Bare:
    return Bare(torch.empty(shape), Drawn())


def chosen_steps(s: spec.HeadExperts, width: int) -> list[Step]:
    """All in one: the projections back belong to the experts."""
    return [AttendHeadExperts(s, width)]
