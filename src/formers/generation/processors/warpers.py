"""Warpers: they leave the likely tokens of a distribution and take the others away."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from formers.generation.processors.base import LogitsProcessor, real, require, whole

_FIRST = 256  # how many tokens are sorted, where that may do


def _least(value: Any) -> int:
    return whole(value, "min_tokens_to_keep", 1)


def _share(value: Any, name: str) -> float:
    require(0 < real(value, name) < 1, f"{name} has to lie between 0 and 1, not {value!r}")
    return float(value)


def _below_best(scores: Tensor, count: int) -> Tensor:
    """Which tokens are not among the `count` best; ties with the last of those are."""
    return scores < scores.topk(min(count, scores.shape[-1]), dim=-1).values[:, -1:]


class TemperatureLogitsWarper(LogitsProcessor):
    """Scores divided by `temperature`: flatter above 1, sharper below."""

    row_wise = True

    def __init__(self, temperature: float) -> None:
        require(
            real(temperature, "temperature") > 0,
            f"temperature has to be above 0, not {temperature!r}; for the likeliest token each time, "
            "say do_sample=False",
        )
        self.temperature = float(temperature)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, divided."""
        return scores / self.temperature


class TopKLogitsWarper(LogitsProcessor):
    """The `top_k` best tokens (Fan et al. 2018), and those level with the last of them."""

    row_wise = True

    def __init__(self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.top_k = max(whole(top_k, "top_k", 1), _least(min_tokens_to_keep))
        self.filter_value = filter_value

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        return scores.masked_fill(_below_best(scores, self.top_k), self.filter_value)


def _leading(keys: Tensor, scores: Tensor, mass: float, least: int, value: float) -> Tensor:
    """Leave the tokens before which, in falling order of `keys`, less than `mass` of the probability lies.

    `least` tokens are left in any case; the others get `value`. Where the host holds the scores, only as many
    tokens are sorted as it takes; elsewhere one sort of all is cheaper than to ask.
    """
    if mass >= 1:
        return scores
    size, wide = scores.shape[-1], torch.promote_types(scores.dtype, torch.float32)
    logs = scores.logsumexp(-1, keepdim=True)
    count = min(max(_FIRST, least), size) if scores.device.type == "cpu" else size
    while True:
        order = keys.topk(count, dim=-1).indices if count < size else keys.argsort(dim=-1, descending=True)
        first = scores.gather(1, order)
        shares = (first - logs).exp()
        before = shares.cumsum(-1, dtype=wide) - shares
        if count == size or bool((before[:, -1] >= mass).all()):
            break
        count = min(size, count * 16)
    kept = before < mass
    kept[:, :least] = True
    return torch.full_like(scores, value).scatter_(1, order, first.masked_fill(~kept, value))


class TopPLogitsWarper(LogitsProcessor):
    """The fewest best tokens that hold `top_p` of the probability (Holtzman et al. 2019)."""

    row_wise = True

    def __init__(self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        require(0 <= real(top_p, "top_p") <= 1, f"top_p has to lie from 0 to 1, not {top_p!r}")
        self.top_p = float(top_p)
        self.filter_value = filter_value
        self.min_tokens_to_keep = _least(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        return _leading(scores, scores, self.top_p, self.min_tokens_to_keep, self.filter_value)


def top_k_top_p_filtering(
    logits: Tensor,
    top_k: int = 0,
    top_p: float = 1.0,
    filter_value: float = -math.inf,
    min_tokens_to_keep: int = 1,
) -> Tensor:
    """Scores [B, V] without what `TopKLogitsWarper` and then `TopPLogitsWarper` take away.

    Args:
        logits: [B, V].
        top_k: 0 takes nothing away.
        top_p: 1 takes nothing away.
        filter_value: what stands in the place of what is taken away.
        min_tokens_to_keep: of every row.
    """
    none = torch.empty(0, dtype=torch.long)
    if top_k > 0:
        logits = TopKLogitsWarper(top_k, filter_value, min_tokens_to_keep)(none, logits)
    return TopPLogitsWarper(top_p, filter_value, min_tokens_to_keep)(none, logits)


class TypicalLogitsWarper(LogitsProcessor):
    """Tokens about as surprising as the distribution leads to expect, up to `mass` (Meister et al. 2022)."""

    row_wise = True

    def __init__(
        self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        self.mass = _share(mass, "typical_p")
        self.filter_value = filter_value
        self.min_tokens_to_keep = _least(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        logs = scores.log_softmax(-1)
        far = (_entropy(logs) + logs).abs()
        return _leading(-far, scores, self.mass, self.min_tokens_to_keep, self.filter_value)


def _entropy(logs: Tensor) -> Tensor:
    """Of distributions [B, V] given as logarithms: [B, 1], in nats."""
    entropy: Tensor = torch.special.entr(logs.exp()).sum(-1, keepdim=True)
    return entropy


class MinPLogitsWarper(LogitsProcessor):
    """Tokens at least `min_p` times as likely as the likeliest (Nguyen et al. 2024)."""

    row_wise = True

    def __init__(self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        require(0 <= real(min_p, "min_p") <= 1, f"min_p has to lie from 0 to 1, not {min_p!r}")
        self.min_p = float(min_p)
        self.filter_value = filter_value
        self.min_tokens_to_keep = _least(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        limit = math.log(self.min_p) if self.min_p else -math.inf
        out = scores < scores.amax(-1, keepdim=True) + limit
        if self.min_tokens_to_keep > 1:
            out &= _below_best(scores, self.min_tokens_to_keep)
        return scores.masked_fill(out, self.filter_value)


class TopHLogitsWarper(LogitsProcessor):
    """Of the best 100 tokens the first that hold `top_h` of the entropy (Baghaei Potraghloo et al. 2025)."""

    row_wise = True

    def __init__(self, top_h: float, filter_value: float = -math.inf) -> None:
        require(0 < real(top_h, "top_h") <= 1, f"top_h has to be above 0 and at most 1, not {top_h!r}")
        self.top_h = float(top_h)
        self.top_n = 100
        self.filter_value = filter_value

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        best, order = scores.topk(min(self.top_n, scores.shape[-1]), dim=-1)
        entropy = torch.special.entr(best.softmax(-1)).cumsum(-1)
        kept = entropy <= entropy[:, -1:] * self.top_h
        kept[:, 0] = True
        left = best.masked_fill(~kept, self.filter_value)
        return torch.full_like(scores, self.filter_value).scatter_(1, order, left)


class EpsilonLogitsWarper(LogitsProcessor):
    """Tokens with a probability of at least `epsilon` (Hewitt et al. 2022)."""

    row_wise = True

    def __init__(self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1) -> None:
        self.epsilon = _share(epsilon, "epsilon_cutoff")
        self.filter_value = filter_value
        self.min_tokens_to_keep = _least(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        out = (scores.softmax(-1) < self.epsilon) & _below_best(scores, self.min_tokens_to_keep)
        return scores.masked_fill(out, self.filter_value)


class EtaLogitsWarper(LogitsProcessor):
    """As `EpsilonLogitsWarper`, with a limit that falls where the entropy is high (Hewitt et al. 2022).

    The limit is min(epsilon, sqrt(epsilon) * exp(-entropy)).
    """

    row_wise = True

    def __init__(
        self,
        epsilon: float,
        filter_value: float = -math.inf,
        min_tokens_to_keep: int = 1,
        device: torch.device | str | None = None,
    ) -> None:
        self.epsilon = _share(epsilon, "eta_cutoff")
        self.filter_value = filter_value
        self.min_tokens_to_keep = _least(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, others at `filter_value`."""
        logs = scores.log_softmax(-1)
        limit = (_entropy(logs).neg().exp() * math.sqrt(self.epsilon)).clamp(max=self.epsilon)
        out = (logs.exp() < limit) & _below_best(scores, self.min_tokens_to_keep)
        return scores.masked_fill(out, self.filter_value)
