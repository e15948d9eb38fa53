"""Layers whose parts are narrower than what they read. Roles: see `spec.Bottleneck`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from formers.nn import spec
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.mixers.attention import Attend
from formers.nn.program import Flow, Inner, Step, run_inner
from formers.nn.steps import Add, Drop, Normalise, Project, dense
from formers.nn.tree import leaf


class Narrow(Step):
    """The layer's input, made narrow once, or twice where there is a second copy that is `read`."""

    def __init__(self, s: spec.Bottleneck, width: int, read: bool) -> None:
        super().__init__()
        self.read = read

        def steps() -> list[Step]:
            return [dense("dense", width, s.width), Normalise("norm", s.norm, s.width)]

        self.inner = {prefix: Inner(steps) for prefix in ("narrow_", *(["shared_"] if s.shared else []))}

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., narrow]."""
        flow.outer = flow.x
        if self.read:
            flow.normed = run_inner(node, "shared_", flow.outer, flow)
        flow.x = run_inner(node, "narrow_", flow.outer, flow)


class Ask(Step):
    """What follows reads the second copy."""

    begins = True

    def run(self, node: Any, flow: Flow) -> None:
        """[.., narrow] stays as wide."""
        assert flow.normed is not None
        flow.x = flow.normed


class AttendWide(Attend):
    """What the heads read and mix, before the output projection."""

    normed = True  # what it reads is not what its result is added to

    def _make_projections(self, width: int) -> None:
        heads, s = self.spec.heads, self.spec
        for role, read in (("q", width), ("k", width), ("v", s.source or width)):
            self.leaves[role] = partial(linear, s.linear, read, heads.query * heads.width, s.bias)

    def _within(self, node: Any, flow: Flow) -> Tensor:
        """[.., narrow] -> [.., H, D]."""
        heads, given = self.spec.heads, {"q": flow.x, "k": flow.normed, "v": flow.outer}
        if flow.normed is None or flow.outer is None:
            raise ValueError(
                "this attention reads what its layer made narrow: call the layer, not a part of it"
            )
        made = (
            project(leaf(node, role), x, None, flow.watched) for role, x in given.items() if x is not None
        )
        q, k, v = (t.view(*t.shape[:-1], heads.query, heads.width) for t in made)
        return self._by_span(node, flow, q, k, v)


class Return(Step):
    """What follows is added to what the layer read."""

    def run(self, node: Any, flow: Flow) -> None:
        """Nothing is computed."""
        flow.entered = flow.outer


def wide_values_steps(s: spec.WideValues, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [Ask(), AttendWide(s, width), out]


def widen_steps(s: spec.Bottleneck, width: int) -> list[Step]:
    """[.., narrow] -> [.., E]: project, add what the layer read, normalise."""
    back = dense("widen_dense", s.width, width)
    end = [Drop("widen_dropout", s.dropout), Add("widen"), Normalise("widen_norm", s.norm, width)]
    return [Return(), back, *end]
