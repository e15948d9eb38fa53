"""Processors that make single tokens, or runs of them, likelier, unlikelier, or impossible."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, TokenSet, in_vocabulary, real, require, whole

Device = torch.device | str | None


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """A bias for runs of tokens, added to the score of a run's last token where the row ends with the others.

    Args:
        sequence_bias: runs -> biases, `{(12, 7): -2.0}`, or pairs of them, `[[[12, 7], -2.0]]`.
    """

    row_wise = True
    _setting = "sequence_bias"

    def __init__(self, sequence_bias: Mapping[tuple[int, ...], float] | Sequence[Any]) -> None:
        require(
            isinstance(sequence_bias, Mapping | list | tuple) and len(sequence_bias) > 0,
            f"sequence_bias has to hold runs of tokens and their biases, not {sequence_bias!r}",
        )
        pairs = sequence_bias.items() if isinstance(sequence_bias, Mapping) else sequence_bias
        self.sequence_bias: dict[tuple[int, ...], float] = {}
        for pair in pairs:
            require(
                isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], list | tuple),
                f"sequence_bias has to hold runs of tokens with a bias each, not {pair!r}",
            )
            run = tuple(whole(one, "each token of sequence_bias", 0) for one in pair[0])
            require(bool(run), "a run of sequence_bias names no token")
            self.sequence_bias[run] = real(pair[1], f"the bias of {run}")
        self._prepare()

    def _prepare(self) -> None:
        """Group the runs by their length."""
        groups: dict[int, list[tuple[int, ...]]] = {}
        for run in self.sequence_bias:
            groups.setdefault(len(run), []).append(run)
        self._largest = max((max(run) for run in self.sequence_bias), default=-1)
        self._groups = [
            (
                torch.tensor([run[:-1] for run in runs], dtype=torch.int64),
                torch.tensor([run[-1] for run in runs], dtype=torch.int64),
                torch.tensor([self.sequence_bias[run] for run in runs], dtype=torch.float32),
            )
            for runs in groups.values()
        ]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, with the biases of the runs that would be complete."""
        in_vocabulary(self._largest, scores, self._setting)
        if self._groups and self._groups[0][1].device != scores.device:
            here = scores.device
            self._groups = [(a.to(here), b.to(here), c.to(here)) for a, b, c in self._groups]
        bias = None
        for begins, ends, values in self._groups:
            length = begins.shape[1]
            if length > input_ids.shape[1]:
                continue
            if bias is None:
                bias = torch.zeros_like(scores)
            values = values.to(scores.dtype)
            if length:
                met = (input_ids[:, None, input_ids.shape[1] - length :] == begins).all(-1)
                values = torch.where(met, values, torch.zeros_like(values))
            bias.index_add_(1, ends, values.expand(scores.shape[0], -1))
        return scores if bias is None else scores + bias


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Runs of tokens that must not come. An end of the text alone is never one of them."""

    _setting = "bad_words_ids"

    def __init__(
        self, bad_words_ids: list[list[int]], eos_token_id: int | Iterable[int] | Tensor | None = None
    ) -> None:
        require(
            isinstance(bad_words_ids, list | tuple) and len(bad_words_ids) > 0,
            f"bad_words_ids has to hold runs of tokens, not {bad_words_ids!r}",
        )
        require(
            all(isinstance(run, list | tuple) and run for run in bad_words_ids),
            f"bad_words_ids has to hold runs of at least one token, not {bad_words_ids!r}",
        )
        ends = [] if eos_token_id is None else TokenSet(eos_token_id, "eos_token_id").numbers
        runs = [tuple(whole(one, "each token of bad_words_ids", 0) for one in run) for run in bad_words_ids]
        self.bad_word_ids = bad_words_ids
        self.sequence_bias = {run: -math.inf for run in runs if not (len(run) == 1 and run[0] in ends)}
        self._prepare()


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """Tokens that must not come."""

    row_wise = True

    def __init__(self, suppress_tokens: Iterable[int] | Tensor, device: Device = None) -> None:
        self.tokens = TokenSet(suppress_tokens, "suppress_tokens", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, without those tokens."""
        return self.tokens.banned(scores)


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """Tokens that must not come right after the first `begin_index` ones."""

    row_wise = True

    def __init__(
        self, begin_suppress_tokens: Iterable[int] | Tensor, begin_index: int, device: Device = None
    ) -> None:
        self.tokens = TokenSet(begin_suppress_tokens, "begin_suppress_tokens", device)
        self.begin_index = begin_index

    def set_begin_index(self, begin_index: int) -> None:
        """Where the text begins."""
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, at the beginning without those tokens."""
        return self.tokens.banned(scores) if input_ids.shape[1] == self.begin_index else scores


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """A function says which tokens may follow (De Cao et al. 2020).

    Args:
        prefix_allowed_tokens_fn: `(batch index, ids [T]) -> ids that may follow`.
        num_beams: rows of each entry of the batch.
    """

    def __init__(
        self, prefix_allowed_tokens_fn: Callable[[int, Tensor], Iterable[int]], num_beams: int
    ) -> None:
        self._prefix_allowed_tokens_fn = prefix_allowed_tokens_fn
        self._num_beams = whole(num_beams, "num_beams", 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of what may follow. Where all beams of an entry rule that out, what may follow gets 0.

        Raises:
            ValueError: the function allows nothing.
        """
        rows: list[int] = []
        columns: list[int] = []
        for row, ids in enumerate(input_ids):
            allowed = self._prefix_allowed_tokens_fn(row // self._num_beams, ids)
            allowed = allowed.tolist() if isinstance(allowed, Tensor) else list(allowed)
            require(
                bool(allowed),
                f"prefix_allowed_tokens_fn allows no token for entry {row // self._num_beams}: the texts "
                "that it wants cannot be reached; let it give at least the end of the text",
            )
            rows += [row] * len(allowed)
            columns += allowed
        mask = torch.full_like(scores, -math.inf)
        mask[rows, columns] = 0
        left = scores + mask
        lost = (
            left.amax(-1).isneginf().reshape(-1, self._num_beams).all(-1).repeat_interleave(self._num_beams)
        )
        return torch.where(lost[:, None], mask, left)
