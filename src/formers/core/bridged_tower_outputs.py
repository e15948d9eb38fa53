"""The records of two towers with layers over both, which read every layer of the towers.

Hidden states are three tuples: of texts [B, T, E], of images [P, B, E], and pairs of both of the layers
above; attention weights are pairs of what texts and images read of themselves there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class BridgedTowersOutput(ModelOutput):
    """Last states of texts [B, T, E] and of images [B, P, E], and `pooler_output` [B, 2 E]."""

    text_features: Tensor | None = None
    image_features: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclasses.dataclass
class BridgedTowersContrastOutput(ModelOutput):
    """Vectors of length one of texts, images and both, [B, D] each; `logits` [B, 3, D] are all three."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    cross_embeds: Tensor | None = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None
