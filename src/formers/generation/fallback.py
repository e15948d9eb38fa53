"""Whether a text that was decoded will do, or is to be decoded again at a higher temperature."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def compression_ratio(tokens: Tensor, vocabulary: int) -> float:
    """How much smaller tokens [T] become when they are compressed: much, where they repeat themselves."""
    width = int(math.log2(vocabulary) / 8) + 1
    plain = b"".join(token.to_bytes(width, "little") for token in tokens.tolist())
    return len(plain) / len(zlib.compress(plain))


def mean_logprob(scores: Sequence[Tensor], tokens: Tensor, temperature: float = 1.0) -> float:
    """The mean log-probability of tokens [T] by their scores, each [V], before the temperature."""
    count = min(len(scores), len(tokens))
    chosen = torch.stack(list(scores[:count])).float() * temperature
    found = chosen.log_softmax(-1).gather(-1, tokens[-count:, None].to(chosen.device))
    return float(found.sum()) / count


@dataclass(frozen=True)
class Limits:
    """What a decoded text must keep to (Radford et al. 2022, section 4.5); None for no limit.

    Attributes:
        compression: the highest compression ratio.
        logprob: the lowest mean log-probability.
        no_speech: above this probability of silence a text that misses `logprob` is left out.

    Raises:
        ValueError: for `no_speech` without `logprob`.
    """

    compression: float | None = None
    logprob: float | None = None
    no_speech: float | None = None

    def __post_init__(self) -> None:
        if self.no_speech is not None and self.logprob is None:
            raise ValueError(
                "no_speech_threshold counts where a text is unlikely too: give logprob_threshold beside it"
            )

    def judge(
        self,
        tokens: Tensor,
        vocabulary: int,
        scores: Sequence[Tensor],
        temperature: float,
        silence: float | None,
    ) -> tuple[bool, bool]:
        """Whether to decode again, and whether to leave the text out.

        Args:
            tokens: [T], the text with its end.
            vocabulary: V.
            scores: of each token, [V]; read where there is a limit for them.
            temperature: at which they were drawn.
            silence: the probability that nothing was said.
        """
        again = self.compression is not None and compression_ratio(tokens, vocabulary) > self.compression
        if self.logprob is None:
            return again, False
        unlikely = mean_logprob(scores, tokens, temperature) < self.logprob
        if unlikely and self.no_speech is not None and silence is not None and silence > self.no_speech:
            return False, True
        return again or unlikely, False
