"""Cross attention to what a call brings beside its rows, whose keys and values a cache keeps: Mllama.

Roles: those of attention, behind `cross_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from formers.nn import spec
from formers.nn.attend import Scores
from formers.nn.kernels import project
from formers.nn.leaves import linear
from formers.nn.masks import Full, Mask
from formers.nn.mixers.attention import Attend
from formers.nn.passing import Pass
from formers.nn.program import Flow, Step
from formers.nn.steps import Project
from formers.nn.tree import leaf


@dataclass(eq=False)
class CrossAttended:
    """What a pass holds beside its rows.

    Attributes:
        states: [B * n, P, E], what is new, n parts of P places for each row of the batch; None where a cache
            holds all.
        seen: which places each row sees; `bias` is added to the scores, [B, 1, T, S].
        counts: [B, T], 1 where a row sees something; None where all do.
        places: of how many `seen` says something; None for all.
    """

    states: Tensor | None = None
    seen: Mask = Full()
    bias: Tensor | None = None
    counts: Tensor | None = None
    places: int | None = None


class AttendKept(Attend):
    """See `spec.KeptCross`."""

    def _roles(self, s: spec.Attention) -> str:
        return "cross_"

    def run(self, node: Any, flow: Flow) -> None:
        """[.., E] -> [.., H * D].

        Raises:
            ValueError: where nothing is held, or masks are of another number of places.
        """
        pass_, heads = flow.pass_, self.spec.heads
        assert isinstance(self.spec, spec.KeptCross)
        held: CrossAttended | None = pass_.memo.get(self.spec.beside)
        if held is None:
            raise ValueError(
                f"this attention reads {self.spec.beside} beside its rows: call the model, not a part"
            )
        q = project(leaf(node, "cross_q"), flow.x, None, pass_.watched)
        shape = (pass_.layout.batch, pass_.layout.length, -1, heads.width)
        q = leaf(node, "cross_q_norm")(q.reshape(shape).transpose(1, 2))  # [B, H, T, D]
        k, v = self._kept(node, pass_, held.states, flow.index)
        at = pass_.range(0, q.shape[2]), pass_.range(0, k.shape[2])
        if held.places not in (None, k.shape[2]):
            raise ValueError(
                f"a mask says which of {held.places} places beside the text are seen, but {k.shape[2]} are "
                "held: one entry for each"
            )
        scores = Scores(held.seen, *at, bias=held.bias, scale=self.spec.scale)
        mixed = self._mix(node, flow, q, k, v, scores, "attentions").transpose(1, 2)
        flow.x = mixed.reshape(*flow.x.shape[:-1], -1)

    def _kept(self, node: Any, pass_: Pass, states: Tensor | None, index: int) -> tuple[Tensor, Tensor]:
        """All keys and values, [B, G, S, D] each: those that the cache holds, and behind them what is new."""
        slot = None if pass_.cache is None else pass_.cache.slot(index)
        if states is None:
            found = None if slot is None else slot.contents()
            assert found is not None
            return found
        rows = states if pass_.watched else states.flatten(0, -2)
        shape = (pass_.layout.batch, -1, self.spec.heads.key_value, self.spec.heads.width)
        k, v = (
            project(leaf(node, role), rows, None, pass_.watched).reshape(shape).transpose(1, 2)
            for role in ("cross_k", "cross_v")
        )
        k = leaf(node, "cross_k_norm")(k)
        return (k, v) if slot is None else slot.update(k, v)[:2]


def kept_cross_steps(s: spec.KeptCross, width: int) -> list[Step]:
    """Attend, project back."""
    out = Project("cross_o", lambda: linear(s.linear, s.heads.query * s.heads.width, width, s.out_bias))
    return [AttendKept(s, width), out]
