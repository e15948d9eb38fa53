"""Processors that keep a text from repeating itself, its source, or the beams beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, above_zero, ban, real, require, spread, whole


def _penalised(scores: Tensor, ids: Tensor, kept: Tensor, penalty: float) -> Tensor:
    """Scores [B, V] of the `kept` ones of `ids` [B, n], divided by `penalty` above 0 and multiplied below."""
    if not ids.shape[1]:
        return scores
    ids, some = spread(ids, kept & (ids < scores.shape[-1]) & (ids >= 0))
    old = scores.gather(1, ids)
    new = torch.where(old < 0, old * penalty, old / penalty)
    return scores.scatter(1, ids, torch.where(some, new, old))


def _for_rows(ids: Tensor, rows: int) -> Tensor:
    """`ids` [B, n] repeated for the beams or samples of each: [rows, n]."""
    ids = ids.reshape(1, -1) if ids.dim() == 1 else ids
    require(
        rows % ids.shape[0] == 0,
        f"there are scores for {rows} rows and encoder ids for {ids.shape[0]}: it has to be a multiple",
    )
    return ids.repeat_interleave(rows // ids.shape[0], dim=0)


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Tokens that a row holds are less likely to come again (Keskar et al. 2019).

    Args:
        penalty: above 1 for less of them, below 1 for more.
        prompt_ignore_length: how many first tokens do not count; one number, or one for each row, [B].
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor | None = None) -> None:
        self.penalty = above_zero(penalty, "repetition_penalty")
        if isinstance(prompt_ignore_length, Tensor):
            shape = tuple(prompt_ignore_length.shape)
            require(len(shape) == 1, f"prompt_ignore_length has to be one number a row, [B], not {shape}")
        elif prompt_ignore_length is not None:
            whole(prompt_ignore_length, "prompt_ignore_length", 0)
        self.prompt_ignore_length = prompt_ignore_length
        self.row_wise = not isinstance(prompt_ignore_length, Tensor)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, lower for what was said."""
        start = self.prompt_ignore_length
        if not isinstance(start, Tensor):
            input_ids = input_ids[:, start or 0 :]
            return _penalised(scores, input_ids, torch.ones_like(input_ids, dtype=torch.bool), self.penalty)
        require(
            start.shape[0] == input_ids.shape[0],
            f"prompt_ignore_length is for {start.shape[0]} rows, and there are {input_ids.shape[0]}",
        )
        start = self.prompt_ignore_length = start.to(input_ids.device)
        counted = torch.arange(input_ids.shape[1], device=input_ids.device) >= start[:, None]
        return _penalised(scores, input_ids, counted, self.penalty)


class OccurrencePenaltyLogitsProcessor(LogitsProcessor):
    """New tokens lose score for having come: once for that, and once more for each time they came.

    Args:
        presence: what a token loses that came, below 0 what it gains.
        frequency: the same for each time it came.
        prompt_length: first tokens of a row, which do not count.
    """

    row_wise = True

    def __init__(self, presence: float, frequency: float, prompt_length: int) -> None:
        self.presence = real(presence, "presence_penalty")
        self.frequency = real(frequency, "frequency_penalty")
        self.prompt_length = whole(prompt_length, "prompt_length", 0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, lower for what came."""
        new = input_ids[:, self.prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, new, torch.ones_like(new, dtype=scores.dtype))
        return scores - self.presence * (counts > 0) - self.frequency * counts


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Tokens of the source are likelier, for a `penalty` above 1: against what the source does not say."""

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        self.penalty = 1 / above_zero(penalty, "encoder_repetition_penalty")
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, higher for what the source holds."""
        ids = _for_rows(self.encoder_input_ids, scores.shape[0])
        return _penalised(scores, ids, torch.ones_like(ids, dtype=torch.bool), self.penalty)


def _after(source: Tensor, last: Tensor, scores: Tensor) -> Tensor:
    """`scores` [B, V] without what follows in `source` [B, S] wherever `last` [B, n] stands there."""
    length = last.shape[1]
    count = source.shape[1] - length
    found = torch.ones_like(source[:, :count], dtype=torch.bool)
    for n in range(length):
        found &= source[:, n : n + count] == last[:, n : n + 1]
    return ban(scores, source[:, length:], found)


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No run of `ngram_size` tokens twice in a row (Paulus et al. 2017)."""

    row_wise = True

    def __init__(self, ngram_size: int) -> None:
        self.ngram_size = whole(ngram_size, "no_repeat_ngram_size", 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, without what would end such a run."""
        length = input_ids.shape[1]
        if length < self.ngram_size:
            return scores
        return _after(input_ids, input_ids[:, length + 1 - self.ngram_size :], scores)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """No run of `encoder_ngram_size` tokens that the source, `encoder_input_ids` [B, S], holds."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        self.ngram_size = whole(encoder_ngram_size, "encoder_no_repeat_ngram_size", 1)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, without what would end such a run."""
        source, start = self.encoder_input_ids, input_ids.shape[1] + 1 - self.ngram_size
        if start < 0 or source.shape[-1] < self.ngram_size:
            return scores
        return _after(_for_rows(source, scores.shape[0]), input_ids[:, start:], scores)


class HammingDiversityLogitsProcessor(LogitsProcessor):
    """A group of beams avoids the tokens that earlier groups took in this step (Vijayakumar et al. 2016).

    Args:
        diversity_penalty: taken off a token's score for each beam of an earlier group that took it.
        num_beams: beams of each text.
        num_beam_groups: groups of them.
    """

    def __init__(self, diversity_penalty: float, num_beams: int, num_beam_groups: int) -> None:
        require(
            real(diversity_penalty, "diversity_penalty") > 0,
            f"diversity_penalty has to be above 0, not {diversity_penalty!r}; it is for groups of beams",
        )
        self._diversity_penalty = float(diversity_penalty)
        self._num_beams = whole(num_beams, "num_beams", 2)
        whole(num_beam_groups, "num_beam_groups", 2)
        require(
            num_beam_groups <= num_beams,
            f"num_beam_groups ({num_beam_groups}) has to be at most num_beams ({num_beams})",
        )
        self._num_sub_beams = num_beams // num_beam_groups

    def __call__(  # type: ignore[override]  # the two further arguments are this processor's definition
        self, input_ids: Tensor, scores: Tensor, current_tokens: Tensor, beam_group_idx: int
    ) -> Tensor:
        """The scores of one group, lower for what the groups before it took.

        Args:
            input_ids: [B * group, T].
            scores: [B * group, V].
            current_tokens: what the beams took in this step, [B * num_beams].
            beam_group_idx: which group this is.
        """
        start = beam_group_idx * self._num_sub_beams
        if start == 0:
            return scores
        taken = current_tokens.reshape(-1, self._num_beams)[:, :start]
        counts = torch.zeros((taken.shape[0], scores.shape[-1]), dtype=scores.dtype, device=scores.device)
        counts.scatter_add_(1, taken, torch.ones_like(taken, dtype=scores.dtype))
        size = scores.shape[0] // taken.shape[0]
        return scores - self._diversity_penalty * counts.repeat_interleave(size, dim=0)
