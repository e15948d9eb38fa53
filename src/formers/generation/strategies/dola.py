"""DoLa: what the last layer knows and an earlier one does not.

Chuang et al. 2023 (arXiv:2309.03883). Shapes: B rows, L candidate layers, V the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from formers.generation.resolve import Call
from formers.generation.strategies.sampling import sample

_LEAST = 0.1  # of the likeliest token's probability, below which a token cannot come
_DEEP = 40  # layers, beyond which the candidates are those of the first or last 20


def dola(call: Call) -> Any:
    """Greedy search or sampling, by the last layer's log-probabilities less those of an earlier one.

    Of the candidate layers each row takes the one that differs most from the last, by the divergence that the
    authors' program measures: (KL(m || p) + KL(m || q)) / 2, m being the mean of both distributions.

    Raises:
        ValueError: for layers that the model does not have; for an encoder-decoder.
    """
    head = call.model.get_output_embeddings()
    if call.encoder_decoder or head is None:
        raise ValueError(
            f"dola_layers contrasts layers of a decoder with a head, and {type(call.model).__name__} is none"
        )
    layers = _layers(call)

    def contrast(out: Any, logits: Tensor) -> Tensor:
        states = torch.stack([out.hidden_states[i][:, -1] for i in layers])  # [L, B, E]
        early = head(states.repeat_interleave(len(logits) // states.shape[1], dim=1)).float()  # [L, B, V]
        return contrasted(logits, early)

    return sample(call, contrast)


def contrasted(last: Tensor, early: Tensor) -> Tensor:
    """Scores [B, V] from logits of the last layer, [B, V], and of the candidates, [L, B, V]."""
    log_q, log_p = last.log_softmax(-1), early.log_softmax(-1)
    mean = (log_q.exp() + log_p.exp()) / 2  # [L, B, V]
    gap = (mean * (2 * mean.log() - log_q - log_p).nan_to_num()).sum(-1)  # [L, B]
    chosen = log_p.gather(0, gap.argmax(0)[None, :, None].expand(1, *last.shape))[0]  # [B, V]
    unlikely = log_q < log_q.amax(-1, keepdim=True) + math.log(_LEAST)
    return (log_q - chosen).masked_fill(unlikely, -math.inf)


def _layers(call: Call) -> list[int]:
    """The candidates, as places among the hidden states; 0 are the embeddings."""
    config = call.model.config.get_text_config(decoder=True)
    depth, wanted = int(config.num_hidden_layers), call.config.dola_layers
    if wanted in ("low", "high"):
        # embeddings that are the head too say the token that was read
        first = min(2, depth // 2) if config.tie_word_embeddings else 0
        half, few = depth // 2, depth <= _DEEP
        if wanted == "low":
            return list(range(first, half if few else 20, 2)) or [first]
        return list(range(half if few else depth - 20, depth, 2))
    good = isinstance(wanted, Sequence) and not isinstance(wanted, str) and len(wanted) > 0
    if not good or not all(isinstance(i, int) and 0 <= i < depth for i in wanted):
        raise ValueError(
            f"dola_layers is 'low', 'high' or a list of layers from 0 to {depth - 1}, not {wanted!r}"
        )
    return list(wanted)
