"""The records of models whose texts read what learned vectors found in an image.

Of shapes: B texts and images, T tokens, P places of an image, Q vectors that ask, H heads, V words.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class LatentImageOutput(ModelOutput):
    """An image's states [B, P, F]; `pooler_output` [B, Q, E] is what stands in a text for it.

    `projection_attentions` [B, H, Q, P + Q] are the weights by which that was found.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    projection_attentions: Tensor | None = None


@dataclasses.dataclass
class LatentQueryOutput(ModelOutput):
    """States [B, T, E] of texts, and what stands in them for images, `image_embeds` [B, Q, E]."""

    last_hidden_state: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_embeds: Tensor | None = None
    projection_attentions: Tensor | None = None
    vision_model_output: ModelOutput | None = None


@dataclasses.dataclass
class LatentQueryTextOutput(ModelOutput):
    """Logits [B, T, V], and likewise."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_embeds: Tensor | None = None
    projection_attentions: Tensor | None = None
    vision_model_output: ModelOutput | None = None
