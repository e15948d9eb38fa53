"""Scores of those tokens alone with which a text can have a given form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, TokenSet, require
from formers.generation.structure import Structure


class StructuredOutputLogitsProcessor(LogitsProcessor):
    """What follows the prompt has the form of a `Structure`; a row may end only where that is whole.

    The state of a row is found by its tokens, so rows may be reordered, doubled and left out between steps.

    Args:
        structure: what `structure_of` compiled for the tokenizer.
        eos_token_id: what ends a text; the tokenizer's own where it is not given.
        prompt_length: tokens that each row begins with; those of the first call where it is not given.
        num_beams: of a beam search, whose rows may run dead; any other row that leaves the form is an error.

    Raises:
        ValueError: nothing ends a text.
    """

    row_wise = True

    def __init__(
        self,
        structure: Structure,
        eos_token_id: int | Iterable[int] | Tensor | None = None,
        prompt_length: int | None = None,
        num_beams: int = 1,
    ) -> None:
        ends = structure.eos if eos_token_id is None else eos_token_id
        if ends is None:
            raise ValueError("a text of a given form needs a token that ends it: set eos_token_id")
        self.structure, self.ends = structure, frozenset(TokenSet(ends, "eos_token_id").numbers)
        self.num_beams = num_beams
        self._begins = prompt_length is None
        self._start = prompt_length or 0
        self._prompts: set[tuple[int, ...]] = set()
        # states of the last two lengths, by a row's new tokens; None where the row has ended or run dead
        self._states: dict[tuple[int, ...], Any] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, of tokens alone that may follow.

        Raises:
            ValueError: another setting chose a token that the form forbids, or no token can follow.
        """
        rows: list[list[int]] = input_ids.tolist()
        if self._begins:
            self._look_for_a_beginning(rows)
        if input_ids.shape[1] < self._start:  # a forced token comes before the text
            return scores
        allowed = np.ones(tuple(scores.shape), np.uint8)
        length = input_ids.shape[1] - self._start
        if length == 0:
            self._states = {(): self.structure.begin()}
        found = {key: state for key, state in self._states.items() if len(key) >= length - 1}
        for place, row in enumerate(rows):
            new = tuple(row[self._start :])
            if new not in found:
                found[new] = self._state(new)
            if found[new] is not None:
                self._follow(found[new], length == 0, allowed[place])
            elif self.num_beams > 1 and not self.ends.intersection(new):
                allowed[place] = 0
        self._states = found
        bound = torch.from_numpy(allowed).to(scores.device, scores.dtype).sub_(0.5).mul_(math.inf)
        left = torch.minimum(scores, bound)  # a third of what `masked_fill` takes
        require(
            self.num_beams > 1 or not bool(left.amax(-1).isneginf().any()),
            "no token is left that fits the form of the text: other settings or processors forbid the rest",
        )
        return left

    def _look_for_a_beginning(self, rows: Sequence[Sequence[int]]) -> None:
        """Take the rows as prompts, unless they go on with those of the calls before."""
        start = self._start
        if len(rows[0]) > start and all(tuple(row[:start]) in self._prompts for row in rows):
            return
        self._start, self._prompts = len(rows[0]), set(map(tuple, rows))

    def _state(self, new: tuple[int, ...]) -> Any:
        """The state of a text: the one before it with a token more, or else the nearest with what differs."""
        if (before := new[:-1]) in self._states:
            shared, state = len(before), self._states[before]
            if state is None or new[-1] in self.ends:
                return None
            state = state.deep_copy()
        elif self.ends.intersection(new):
            return None
        else:  # drafts were taken back
            near = [key for key, held in self._states.items() if held is not None]
            key = max(near, key=lambda one: _shared(one, new), default=())
            shared = _shared(key, new)
            state = self._states[key].deep_copy() if shared else self.structure.begin()
            if shared:
                state.rollback(len(key) - shared)
        if all(token < self.structure.vocabulary.size for token in new[shared:]) and state.consume_tokens(
            list(new[shared:])
        ):
            return state
        require(
            self.num_beams > 1,
            f"token {new[-1]} does not fit the form of the text: another setting or processor chose it",
        )
        return None

    def _follow(self, state: Any, first: bool, allowed: Any) -> None:
        """Write what may follow into `allowed`, [V]."""
        whole = state.is_accepting()
        goes_on = self.structure.follows(state, first, allowed)
        if whole:
            allowed[[one for one in self.ends if one < len(allowed)]] = 1
        require(
            goes_on or whole or self.num_beams > 1,
            "the tokenizer has no token with which the text could go on in its form",
        )


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
                min(len(one), len(other)))  # fmt: skip
