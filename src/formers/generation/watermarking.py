"""Detectors of watermarks."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from formers.generation.processors.base import require
from formers.generation.processors.watermarks import (
    SynthIDTextWatermarkLogitsProcessor,
    WatermarkLogitsProcessor,
)
from formers.generation.watermarks import WatermarkingConfig


@dataclass
class WatermarkDetectorOutput:
    """What was found in each text, [B]: counts, the share of green tokens, and what that means."""

    num_tokens_scored: np.ndarray | None = None
    num_green_tokens: np.ndarray | None = None
    green_fraction: np.ndarray | None = None
    z_score: np.ndarray | None = None
    p_value: np.ndarray | None = None
    prediction: np.ndarray | None = None
    confidence: np.ndarray | None = None


class WatermarkDetector:
    """Tells texts with more green tokens than chance gives (Kirchenbauer et al. 2023).

    Args:
        model_config: of the model that wrote: its vocabulary, and the token that texts begin with.
        device: where the ids lie; green lists are the same only on the kind of device that marked the text.
        watermarking_config: the settings that it wrote with.
        ignore_repeated_ngrams: count a run of tokens once.
        max_cache_size: runs that are remembered.
    """

    def __init__(
        self,
        model_config: Any,
        device: torch.device | str,
        watermarking_config: WatermarkingConfig | Mapping[str, Any],
        ignore_repeated_ngrams: bool = False,
        max_cache_size: int = 128,
    ) -> None:
        first = "decoder_start_token_id" if model_config.is_encoder_decoder else "bos_token_id"
        self.bos_token_id = getattr(model_config, first)
        settings = dict(watermarking_config)
        self.processor = WatermarkLogitsProcessor(model_config.vocab_size, device, **settings)
        self.greenlist_ratio = self.processor.greenlist_ratio
        self.ignore_repeated_ngrams = ignore_repeated_ngrams

    def __call__(
        self, input_ids: Tensor, z_threshold: float = 3.0, return_dict: bool = False
    ) -> WatermarkDetectorOutput | np.ndarray:
        """Whether each text is marked, [B] bool, or with `return_dict` all that was found.

        Args:
            input_ids: texts of one length, [B, T].
            z_threshold: standard deviations above chance from which a text counts as marked.
            return_dict: give a record.

        Raises:
            ValueError: some texts begin with the first token and some do not, or they are too short.
        """
        begins = input_ids[:, 0] == self.bos_token_id
        require(
            bool(begins.all()) or not bool(begins.any()),
            "some texts begin with the token that opens texts and some do not: tokenize all in one way",
        )
        if bool(begins.all()):
            input_ids = input_ids[:, 1:]
        require(
            input_ids.shape[1] > self.processor.context_width,
            f"texts need more than the {self.processor.context_width} tokens that choose a green list",
        )
        scored, green = np.array([self._count(row) for row in input_ids.tolist()], dtype=float).T
        ratio = self.greenlist_ratio
        z_score = (green - ratio * scored) / np.sqrt(scored * ratio * (1 - ratio))
        prediction: np.ndarray = z_score > z_threshold
        if not return_dict:
            return prediction
        p_value = 0.5 * torch.special.erfc(torch.from_numpy(z_score / np.sqrt(2))).numpy()
        return WatermarkDetectorOutput(
            scored, green, green / scored, z_score, p_value, prediction, 1 - p_value
        )

    def _count(self, row: list[int]) -> tuple[int, int]:
        """How many tokens of a text are judged, and how many of those are green."""
        itself = self.processor.seeding_scheme == "selfhash"
        width = self.processor.context_width + 1 - itself
        runs = collections.Counter(tuple(row[n : n + width]) for n in range(len(row) - width + 1))
        green = {run for run in runs if self.processor.marked(run if itself else run[:-1], run[-1])}
        if self.ignore_repeated_ngrams:
            return len(runs), len(green)
        return runs.total(), sum(runs[run] for run in green)


class SynthIDTextWatermarkDetector:
    """Asks a trained judge how likely it is that tournaments wrote a text.

    Args:
        detector_module: `(coins [B, n, depth], mask [B, n]) -> probabilities`.
        logits_processor: the one that marked, for its coins.
        tokenizer: for its `eos_token_id`.
    """

    def __init__(
        self, detector_module: Any, logits_processor: SynthIDTextWatermarkLogitsProcessor, tokenizer: Any
    ) -> None:
        self.detector_module = detector_module
        self.logits_processor = logits_processor
        self.tokenizer = tokenizer

    def __call__(self, tokenized_outputs: Tensor) -> Any:
        """What the judge says of texts [B, T]: repeated contexts, and what follows the end, do not count."""
        processor = self.logits_processor
        written = processor.compute_eos_token_mask(tokenized_outputs, self.tokenizer.eos_token_id)
        fresh = processor.compute_context_repetition_mask(tokenized_outputs)
        mask = fresh & written[:, processor.ngram_len - 1 :]
        return self.detector_module(processor.compute_g_values(tokenized_outputs), mask)
