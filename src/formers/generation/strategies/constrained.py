"""Beam search for texts that hold what they must: beams are shared out by how far each has got.

Post and Vilar 2018 (arXiv:1804.06609). Shapes as in `beams`: U searches, m beams, K candidates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.generation.constraints import ConstraintListState, constraints_of
from formers.generation.processors.base import require
from formers.generation.resolve import Call
from formers.generation.strategies.beams import NEVER, Beams, beams


class Constrained(Beams):
    """Searches whose rows end when they hold all that they must.

    What is new counts, and not the prompt. Rows that do not get there stand behind those that do.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call, 1)
        config = call.config
        state = ConstraintListState(constraints_of(config.constraints, config.force_words_ids))
        self.states = [[state.copy() for _ in range(self.beams)] for _ in range(call.batch)]
        self._found: list[list[ConstraintListState]] = []

    def candidates(self, which: Tensor, total: Tensor, best: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Add, for every row, the tokens that bring it further; as in `Beams`."""
        best, at = super().candidates(which, total, best, at)
        vocabulary = total.shape[1] // self.beams
        more: list[list[int]] = []
        for search, known in zip(which.tolist(), at.tolist(), strict=True):
            wanted = [
                (beam, token)
                for beam, state in enumerate(self.states[search])
                for token in state.advance() or ()
                if float(self.scores[search, beam]) > NEVER / 2
            ]
            largest = max((token for _, token in wanted), default=0)
            require(
                largest < vocabulary, f"a constraint names token {largest} of a vocabulary of {vocabulary}"
            )
            steps = dict.fromkeys(beam * vocabulary + token for beam, token in wanted)
            more.append([place for place in steps if place not in known])
        width = max(map(len, more))
        places = torch.tensor(
            [row + [0] * (width - len(row)) for row in more], dtype=torch.int64, device=at.device
        )
        there = torch.tensor([[i < len(row) for i in range(width)] for row in more], device=at.device)
        if not width:
            places, there = at[:, :0], at[:, :0].bool()
        added = total.gather(1, places).masked_fill(~there, 2 * NEVER)
        best, at = torch.cat((best, added), dim=1), torch.cat((at, places), dim=1)
        self._found = [
            [_after(self.states[search][place // vocabulary], place % vocabulary) for place in row]
            for search, row in zip(which.tolist(), at.tolist(), strict=True)
        ]
        return best, at

    def choose(self, which: Tensor, going: Tensor) -> Tensor:
        """The best row of every bank, then the second best of every bank, and so on: [u, m]."""
        out = []
        for search, scores, states in zip(which.tolist(), going.tolist(), self._found, strict=True):
            own = sorted(range(len(scores)), key=lambda k: -scores[k])
            # of what brings no row further, only what a search without constraints would keep
            plain = sorted(range(self.width), key=lambda k: -scores[k])[: self.beams]
            ranks: dict[int, int] = {}
            order = []
            for k in own:
                if scores[k] > NEVER / 2 and (k in plain or k >= self.width or states[k].get_bank()):
                    bank = states[k].get_bank()
                    ranks[bank] = ranks.get(bank, -1) + 1
                    order.append((ranks[bank], -bank, k))
            chosen = [k for *_, k in sorted(order)][: self.beams]
            chosen += [k for k in own if k not in chosen][: self.beams - len(chosen)]
            self.states[search] = [states[k] for k in chosen]
            out.append(chosen)
        return torch.tensor(out, device=going.device)

    def may_end(self, which: Tensor, done: Tensor) -> Tensor:
        """Which of the rows that end hold all that they must, [u, K], bool.

        In the last step those count too that would only stand by.
        """
        met = torch.tensor([[state.completed for state in row] for row in self._found], device=done.device)
        last = done.all(1, keepdim=True)
        return done & met & (last | super().may_end(which, done))

    def fill(self, which: Tensor, ids: Tensor, origin: Tensor, best: Tensor, done: Tensor) -> None:
        """In the last step, put the rows that got furthest where none ended."""
        new = ids.shape[2] - self.start
        for u, search in enumerate(which.tolist()):
            if not bool(done[u].all()) or not bool(self.open[search]):
                continue
            rest = [
                k for k, state in enumerate(self._found[u]) if not state.completed and best[u, k] > NEVER / 2
            ]
            rest.sort(key=lambda k: (-self._found[u][k].get_bank(), -float(best[u, k])))
            places = (~self.full[search]).nonzero()[:, 0].tolist()
            for place, k in zip(places, rest, strict=False):
                self.ended[search, place, : ids.shape[2]] = ids[u, k]
                self.ended_origin[search, place, :new] = origin[u, k]
                self.ended_scores[search, place] = best[u, k] / new**self.penalty
                self.full[search, place] = True


def _after(state: ConstraintListState, token: int) -> ConstraintListState:
    """The state when a token has come."""
    if state.completed:
        return state
    found = state.copy()
    found.add(token)
    return found


def constrained(call: Call) -> Any:
    """Beam search with `constraints` or `force_words_ids`.

    Raises:
        ValueError: for one beam, groups of them, or sampling.
    """
    config = call.config
    require(config.num_beams > 1, "constraints are met by beam search: set num_beams to 2 or more")
    require(config.num_beam_groups == 1, "constraints and num_beam_groups do not go together: leave one out")
    require(not config.do_sample, "constraints are met by searching, not by sampling: set do_sample=False")
    return beams(call, Constrained(call))
