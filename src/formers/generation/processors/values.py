"""Processors that mend or rescale scores as they are."""

from __future__ import annotations

from torch import Tensor

from formers.generation.processors.base import LogitsProcessor


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """What is no number becomes 0, what is infinite the greatest or least that the dtype holds."""

    row_wise = True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, all finite."""
        return scores.nan_to_num(0.0)


class LogitNormalization(LogitsProcessor):
    """Scores as logarithms of probabilities."""

    row_wise = True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, normalised."""
        return scores.log_softmax(-1)
