"""The records of models in which vectors ask an image's states, and a text model reads their answers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from formers.core.model_output import ModelOutput

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass
class BridgedOutput(ModelOutput):
    """Logits [B, T, V] of the text model, and the records of the three parts."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    vision_outputs: ModelOutput | None = None
    qformer_outputs: ModelOutput | None = None
    language_model_outputs: ModelOutput | None = None


@dataclasses.dataclass
class AskedImageOutput(ModelOutput):
    """An image's states [B, P, E]; `pooler_output` [B, Q, F] is what a text model reads in its place."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    vision_outputs: ModelOutput | None = None
    qformer_outputs: ModelOutput | None = None
