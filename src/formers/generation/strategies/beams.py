"""Beam search, also by sampling and in groups that differ.

Graves 2012 (arXiv:1211.3711); groups: Vijayakumar et al. 2016 (arXiv:1610.02424). Shapes: U searches
(prompts, or groups of their beams), m beams each, rows = U * m, K candidates a search, V the vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.generation.outputs import GenerateBeamDecoderOnlyOutput, GenerateBeamEncoderDecoderOutput
from formers.generation.resolve import Call
from formers.generation.rows import Book

RECORDS = (GenerateBeamDecoderOnlyOutput, GenerateBeamEncoderDecoderOutput)
NEVER = -1.0e9


class Beams:
    """Where all searches stand: m rows each that go on, and the m best that ended.

    Attributes:
        ids: [U, m, T], int64, rows that go on; `scores` [U, m], their log-probabilities.
        origin: [U, m, new], int64, which row of the batch each new token came from.
        ended, ended_scores, ended_origin: likewise, of rows that ended, best first; scores over the length.
        full: [U, m], bool, which of those are there.
        open: [U], bool, whether a search can still find something better.
    """

    def __init__(self, call: Call, groups: int) -> None:
        config, length = call.config, call.ids.shape[1]
        searches, m = call.batch * groups, config.num_beams // groups
        device = call.ids.device
        self.call, self.groups, self.beams, self.start = call, groups, m, length
        self.penalty, self.early = float(config.length_penalty), config.early_stopping
        self.ids = call.ids.view(searches, m, length)
        self.origin = torch.empty(searches, m, 0, dtype=torch.int64, device=device)
        self.scores = torch.zeros(searches, m, device=device)
        self.scores[:, 1:] = NEVER  # all rows are alike at first: one of them begins
        ends = [] if call.eos is None else call.eos.tolist()
        fill = next((token for token in (call.pad, *ends) if token is not None), -1)
        self.ended = call.ids.new_full((searches, m, call.limit), fill)
        self.ended[:, :, :length] = self.ids
        self.ended_scores = torch.full((searches, m), NEVER, device=device)
        self.ended_origin = self.ended.new_full((searches, m, call.limit - length), -1)
        self.full = torch.zeros(searches, m, dtype=torch.bool, device=device)
        self.open = torch.ones(searches, dtype=torch.bool, device=device)

    @property
    def rows(self) -> Tensor:
        """All rows that go on, [U * m, T]."""
        return self.ids.flatten(0, 1)

    def step(
        self, which: Tensor, chances: Tensor, best: Tensor, at: Tensor, seen: Any
    ) -> tuple[Tensor, Tensor]:
        """Let the searches `which`, [u], go on.

        Args:
            which: their numbers.
            chances: [u, m, V], for V.
            best: [u, K], scores of the candidates.
            at: [u, K], their places in [m * V].
            seen: per step scores, for the criteria.

        Returns:
            Rows that the beams continue, [u, m], and the tokens that they add, [u, m].
        """
        vocabulary, m = chances.shape[-1], self.beams
        parents, tokens = at // vocabulary, at % vocabulary  # [u, K] each
        held = self.ids[which].gather(1, parents[..., None].expand(-1, -1, self.ids.shape[2]))
        ids = torch.cat((held, tokens[..., None]), dim=2)  # [u, K, T + 1]
        came = parents + which[:, None] * m
        before = self.origin[which].gather(1, parents[..., None].expand(-1, -1, self.origin.shape[2]))
        origin = torch.cat((before, came[..., None]), dim=2)
        done = self.call.criteria(ids.flatten(0, 1), seen).view(at.shape)  # [u, K]
        going = best + done.float() * NEVER
        self._end(which, ids, origin, best, done)
        chosen = self.choose(which, going)  # [u, m]
        self._next_ids[which] = _of(ids, chosen)
        self._next_origin[which] = _of(origin, chosen)
        self.scores[which] = going.gather(1, chosen)
        self._stuck[which] = done.all(1)
        return came.gather(1, chosen), tokens.gather(1, chosen)

    def candidates(self, which: Tensor, total: Tensor, best: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """The candidates of searches, scores and places in [m * V], from the best; `total` has all scores."""
        self.width = at.shape[1]
        return best, at

    def choose(self, which: Tensor, going: Tensor) -> Tensor:
        """Candidates with which the searches `which` go on, [u, m], by their scores [u, K]."""
        return going.topk(self.beams)[1]

    def may_end(self, which: Tensor, done: Tensor) -> Tensor:
        """Which of the candidates that are done may count as ended, [u, K], bool."""
        ends = done.clone()
        ends[:, self.beams :] = False  # the others stand by, so that m rows can go on
        return ends

    def fill(self, which: Tensor, ids: Tensor, origin: Tensor, best: Tensor, done: Tensor) -> None:
        """Called when the ended rows of a step are kept."""

    def begin_step(self) -> None:
        """Make room for the rows of the step that begins."""
        searches, m, length = self.ids.shape
        self._next_ids = self.ids.new_empty(searches, m, length + 1)
        self._next_origin = self.ids.new_empty(searches, m, self.origin.shape[2] + 1)
        self._stuck = self.open.new_zeros(searches)

    def end_step(self) -> bool:
        """Take the step's rows over; whether any search goes on."""
        self.ids, self.origin = self._next_ids, self._next_origin
        new = self.ids.shape[2] - self.start
        longest = self.call.limit - self.start if self.early == "never" and self.penalty > 0 else new
        hoped = self.scores[:, 0] / longest**self.penalty
        worst = torch.where(self.full, self.ended_scores.amin(1, keepdim=True), NEVER).amin(1)
        self.open &= hoped > worst
        over = self._stuck.all() | ~self.open.any()
        return not bool(over | self.full.all() if self.early is True else over)

    def _end(self, which: Tensor, ids: Tensor, origin: Tensor, best: Tensor, done: Tensor) -> None:
        """Keep the best of what ended before and of what ends now, among the first m candidates."""
        m, new = self.beams, ids.shape[2] - self.start
        ends = self.may_end(which, done)
        closed = ~self.open[which]
        if self.early is True:
            closed = closed | self.full[which].all(1)
        final = best / new**self.penalty + ((~ends) | closed[:, None]).float() * NEVER
        merged = torch.cat((self.ended_scores[which], final), dim=1)  # [u, m + K]
        kept = merged.topk(m)[1]
        self.ended_scores[which] = merged.gather(1, kept)
        self.full[which] = torch.cat((self.full[which], ends), dim=1).gather(1, kept)
        for held, now in ((self.ended, ids), (self.ended_origin, origin)):
            both = torch.cat((held[which], _wide(now, held)), dim=1)
            held[which] = _of(both, kept)
        self.fill(which, ids, origin, best, done)

    def keep(self, searches: Tensor) -> None:
        """Nothing is known of searches but those, [u]; the others must have been written down."""
        for name in ("ids", "origin", "scores", "open", "full", "ended", "ended_scores", "ended_origin"):
            setattr(self, name, getattr(self, name)[searches])


def _of(rows: Tensor, chosen: Tensor) -> Tensor:
    """[u, n, T], [u, m] -> [u, m, T]."""
    return rows.gather(1, chosen[..., None].expand(-1, -1, rows.shape[2]))


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    """[u, K, T] -> [u, K, as wide as `like`], filled up with what `like` has there."""
    fill = like[:1, :1, rows.shape[2] :].expand(*rows.shape[:2], -1)
    return torch.cat((rows, fill), dim=2)


def beams(call: Call, search: Beams | None = None) -> Any:
    """Beam search; `do_sample` draws its candidates, and `num_beam_groups` takes group after group.

    `search` is where it stands.

    Raises:
        ValueError: for a streamer, since rows change until the end.
    """
    if call.streamer is not None:
        raise ValueError("a streamer cannot follow beams, whose texts change until the end: set num_beams=1")
    config = call.config
    groups, book = config.num_beam_groups, Book(call)
    search, decoder = search or Beams(call, groups), call.decoder(folds=True)
    candidates = max(2, 1 + (0 if call.eos is None else len(call.eos))) * search.beams
    read = call.ids
    while True:
        out = decoder.read(read)
        logits = out.logits[:, -1].float()  # [rows, V]
        scores = logits.log_softmax(-1)
        if groups == 1:
            scores = call.processors(read, scores)
        chances = scores.view(len(search.ids), search.beams, -1)  # [U, m, V]
        search.begin_step()
        came, noted = _go_on(call, search, chances, candidates, book)
        book.note(out, noted.flatten(0, 1), logits)
        del out
        if not search.end_step():
            break
        if decoder.cache is not None:
            decoder.reorder(came.flatten())
        read = search.rows
    return _answer(call, search, book, decoder.cache)


def _go_on(call: Call, search: Beams, chances: Tensor, candidates: int, book: Book) -> tuple[Tensor, Tensor]:
    """One step of all searches, group after group: rows that go on, [U, m], and scores as they were used."""
    config, groups, device = call.config, search.groups, chances.device
    came = torch.empty(chances.shape[:2], dtype=torch.int64, device=device)
    noted, chosen = chances, torch.zeros(chances.shape[:2], dtype=torch.int64, device=device)
    for group in range(groups):
        which = torch.arange(group, len(search.ids), groups, device=device)
        own = chances[which]  # [u, m, V]
        if groups > 1:
            rows = search.ids[which].flatten(0, 1)
            told = {"current_tokens": chosen.flatten(), "beam_group_idx": group}
            own = call.processors(rows, own.flatten(0, 1), **told).view_as(own)
            noted = noted.clone() if noted is chances else noted
            noted[which] = own
        total = (own + search.scores[which][..., None]).flatten(1)  # [u, m * V]
        if config.do_sample:
            at = torch.multinomial(total.softmax(-1), candidates, generator=call.generator)
            best = total.gather(1, at)
        else:
            best, at = total.topk(candidates)
        best, at = search.candidates(which, total, best, at)
        came[which], chosen[which] = search.step(which, own, best, at, book.scores)
    return came, noted


def _answer(call: Call, search: Beams, book: Book, cache: Any) -> Any:
    """The best of every prompt's beams, as the caller wants them."""
    returned, groups = call.config.num_return_sequences, search.groups
    ids, scores, origin = search.ended, search.ended_scores, search.ended_origin
    if groups > 1:
        ids, scores, origin = (
            t.reshape(call.batch, groups * search.beams, *t.shape[2:]) for t in (ids, scores, origin)
        )
    best = scores.topk(scores.shape[1])[1][:, :returned] if groups > 1 else None
    ids, origin = ((t if best is None else _of(t, best))[:, :returned].flatten(0, 1) for t in (ids, origin))
    scores = (scores if best is None else scores.gather(1, best))[:, :returned].flatten()
    new = int((origin >= 0).sum(1).max())
    ids, origin = ids[:, : search.start + new], origin[:, :new]
    if not book.on:
        return ids
    return book.record(
        RECORDS,
        cache,
        sequences=ids,
        sequences_scores=scores if book.scores is not None else None,
        beam_indices=origin,
    )
