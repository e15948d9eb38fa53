"""Processors that say when a text begins and ends."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from formers.generation.processors.base import EndTokens, LogitsProcessor, TokenSet, real, require, whole

Ids = int | Iterable[int] | Tensor
Device = torch.device | str | None


class MinLengthLogitsProcessor(LogitsProcessor):
    """No end before a row, prompt and all, has `min_length` tokens."""

    row_wise = True

    def __init__(self, min_length: int, eos_token_id: Ids, device: Device = None) -> None:
        self.min_length = whole(min_length, "min_length", 0)
        self.end = EndTokens(eos_token_id, "eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, without the end while it is too early."""
        return self.end.banned(scores) if input_ids.shape[1] < self.min_length else scores


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """No end before `min_new_tokens` tokens follow the prompt of `prompt_length_to_skip`."""

    row_wise = True

    def __init__(
        self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Ids, device: Device = None
    ) -> None:
        self.prompt_length_to_skip = whole(prompt_length_to_skip, "prompt_length_to_skip", 0)
        self.min_new_tokens = whole(min_new_tokens, "min_new_tokens", 0)
        self.end = EndTokens(eos_token_id, "eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, without the end while it is too early."""
        early = input_ids.shape[1] - self.prompt_length_to_skip < self.min_new_tokens
        return self.end.banned(scores) if early else scores


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """The second token of every row is `bos_token_id`, as mBART wants its language."""

    row_wise = True

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = bos_token_id
        self.tokens = TokenSet(bos_token_id, "forced_bos_token_id")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """That token alone after the first; the scores later on."""
        return self.tokens.forced(scores) if input_ids.shape[1] == 1 else scores


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """The last of `max_length` tokens is one of `eos_token_id`."""

    row_wise = True

    def __init__(self, max_length: int, eos_token_id: Ids, device: Device = None) -> None:
        self.max_length = whole(max_length, "max_length", 0)
        self.tokens = TokenSet(eos_token_id, "forced_eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Those tokens alone where the next one is the last; the scores before."""
        return self.tokens.forced(scores) if input_ids.shape[1] == self.max_length - 1 else scores


class ForceTokensLogitsProcessor(LogitsProcessor):
    """The tokens at given places are given ones: `force_token_map` holds pairs of a place and an id."""

    row_wise = True

    def __init__(self, force_token_map: Iterable[Iterable[int]]) -> None:
        pairs = [tuple(pair) for pair in force_token_map]
        require(
            all(len(pair) == 2 for pair in pairs),
            f"force_token_map holds pairs of a place and an id, not {force_token_map!r}",
        )
        self.force_token_map = {
            whole(place, "a place of force_token_map", 0): TokenSet(token, "force_token_map")
            for place, token in pairs
        }

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """That token alone where one is given; the scores elsewhere."""
        tokens = self.force_token_map.get(input_ids.shape[1])
        return scores if tokens is None else tokens.forced(scores)


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """|score| * (factor^n - 1) more for the end at the n-th token after the `start`-th new one.

    Args:
        exponential_decay_length_penalty: `(start, factor)`.
        eos_token_id: what ends a text.
        input_ids_seq_length: the length of the prompt.
    """

    row_wise = True

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: Ids,
        input_ids_seq_length: int,
    ) -> None:
        pair = tuple(exponential_decay_length_penalty)
        require(len(pair) == 2, f"exponential_decay_length_penalty is (start, factor), not {pair!r}")
        start = whole(pair[0], "the start of exponential_decay_length_penalty", 0)
        self.regulation_start = start + whole(input_ids_seq_length, "input_ids_seq_length", 0)
        self.regulation_factor = real(pair[1], "the factor of exponential_decay_length_penalty")
        self.end = EndTokens(eos_token_id, "eos_token_id")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, with more for the end; an end that is forbidden stays so."""
        late = input_ids.shape[1] - self.regulation_start
        if late <= 0:
            return scores
        end = self.end.of(scores)
        old = scores[:, end]
        more = old.abs() * (math.pow(self.regulation_factor, late) - 1)
        return scores.index_copy(1, end, torch.where(old.isfinite(), old + more, old))
