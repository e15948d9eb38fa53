"""Classifier-free guidance (Ho & Salimans 2022; Sanchez et al. 2023 for texts)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, real, require, whole


def _halves(input_ids: Tensor, scores: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The scores with the prompt, and their difference from those without, times `scale`."""
    require(
        scores.shape[0] == 2 * input_ids.shape[0],
        f"guidance takes scores of twice as many rows as ids, those with the prompt first: there are "
        f"{scores.shape[0]} and {input_ids.shape[0]}",
    )
    with_prompt, without = scores.chunk(2)
    return with_prompt, (with_prompt - without) * scale


def _strong(scale: Any) -> float:
    require(real(scale, "guidance_scale") > 1, f"guidance_scale has to be above 1, not {scale!r}")
    return float(scale)


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Scores away from those without the prompt: those are the second half of `scores` [2B, V]."""

    def __init__(self, guidance_scale: float) -> None:
        self.guidance_scale = _strong(guidance_scale)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Without + scale * (with - without), [B, V]."""
        with_prompt, step = _halves(input_ids, scores, self.guidance_scale - 1)
        return with_prompt + step


class DiaClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Guidance that only chooses: its `guidance_top_k` best tokens keep their scores with the prompt."""

    def __init__(self, guidance_scale: float, guidance_top_k: int | None = None) -> None:
        self.guidance_scale = _strong(guidance_scale)
        self.guidance_top_k = None if guidance_top_k is None else whole(guidance_top_k, "guidance_top_k", 1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """With + scale * (with - without), or the chosen scores with the prompt, [B, V]."""
        with_prompt, step = _halves(input_ids, scores, self.guidance_scale)
        guided = with_prompt + step
        if self.guidance_top_k is None:
            return guided
        best = guided.topk(self.guidance_top_k, dim=-1).indices
        return torch.full_like(scores[: guided.shape[0]], -math.inf).scatter_(
            1, best, with_prompt.gather(1, best)
        )


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Guidance by a second pass of the model, over a negative prompt and what was written since.

    Args:
        guidance_scale: 1 is none.
        model: `model(ids, attention_mask=, use_cache=, past_key_values=)` -> logits and cache.
        unconditional_ids: the negative prompt, [B, N]; the last token of the prompt where there is none.
        unconditional_attention_mask: what of it counts, [B, N].
        use_cache: keep keys and values of that pass.
    """

    def __init__(
        self,
        guidance_scale: float,
        model: Any,
        unconditional_ids: Tensor | None = None,
        unconditional_attention_mask: Tensor | None = None,
        use_cache: bool = True,
    ) -> None:
        self.guidance_scale = real(guidance_scale, "guidance_scale")
        self.model = model
        self.use_cache = use_cache
        self.unconditional_ids = unconditional_ids
        self.unconditional_attention_mask = unconditional_attention_mask
        self._cache: Any = None
        self._seen: Tensor | None = None  # the ids of the last call: what the cache holds
        self._prompt = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logarithms of probabilities, moved away from those after the negative prompt."""
        scores = scores.log_softmax(-1)
        if self.guidance_scale == 1:
            return scores
        without = self._logits(input_ids)[:, -1].to(scores.dtype).log_softmax(-1)
        return without + self.guidance_scale * (scores - without)

    def _logits(self, input_ids: Tensor) -> Tensor:
        """What the model says after the negative prompt and the new tokens of `input_ids`."""
        seen, known = self._seen, 0
        if seen is None or len(seen) != len(input_ids) or seen.shape[1] >= input_ids.shape[1]:
            self._prompt = input_ids.shape[1]
            self._negative, self._mask = self._begin(input_ids)
        elif self.use_cache and self._cache is not None and torch.equal(input_ids[:, : seen.shape[1]], seen):
            known = seen.shape[1]
        # else no cache, or beams have changed places and it holds other texts
        new = input_ids[:, self._prompt :]
        mask = torch.cat([self._mask, torch.ones_like(new)], 1)
        ids = input_ids[:, known:] if known else torch.cat([self._negative, new], 1)
        cache = self._cache if known else None
        done = self.model(ids, attention_mask=mask, use_cache=self.use_cache, past_key_values=cache)
        self._cache = getattr(done, "past_key_values", None)
        self._seen = input_ids
        logits: Tensor = done.logits
        return logits

    def _begin(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """What stands in the place of a prompt `input_ids`: ids and mask, [B, N]."""
        negative = input_ids[:, -1:] if self.unconditional_ids is None else self.unconditional_ids
        mask = self.unconditional_attention_mask
        mask = torch.ones_like(negative) if mask is None else mask
        rows = input_ids.shape[0]
        require(
            rows % negative.shape[0] == 0 and mask.shape == negative.shape,
            f"the negative prompt has {negative.shape[0]} rows and its mask shape {tuple(mask.shape)}, "
            f"for a batch of {rows}",
        )
        times = rows // negative.shape[0]
        negative, mask = (one.to(input_ids.device).repeat_interleave(times, 0) for one in (negative, mask))
        return negative, mask
