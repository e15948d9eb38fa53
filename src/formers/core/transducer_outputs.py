"""What models return that spell sounds by pieces of words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class MaskedOutput(ModelOutput):
    """Hidden states of a sound [B, T, E], and which of them are real [B, T], where a mask told."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    attention_mask: Tensor | None = None


@dataclasses.dataclass
class SpelledRowsOutput(ModelOutput):
    """What a model spelled: ids [B, T], padded, with the logits [B, T, V] that they are the likeliest of."""

    sequences: Tensor | None = None
    logits: Tensor | None = None
    attentions: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
